/* A small filter in C: counts the words of a short generated text in a chained hash table, again and again. A few tens
 * of KiB are live at any time; what the process holds beyond that is the allocator's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry* next;
    char* word;
    unsigned count;
};

enum { buckets = 256, text_words = 2000 };

static uint64_t next_number(uint64_t* state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static unsigned hash(const char* word) {
    unsigned h = 2166136261u;
    while (*word != '\0') h = (h ^ (unsigned char)*word++) * 16777619u;
    return h % buckets;
}

int main(int argc, char** argv) {
    long rounds = argc > 1 && strncmp(argv[1], "operations=", 11) == 0 ? atol(argv[1] + 11) : 1500;
    uint64_t state = 99, checksum = 0;
    for (long round = 0; round < rounds; round++) {
        struct entry* table[buckets] = {NULL};
        for (int i = 0; i < text_words; i++) {
            char word[16];
            uint64_t number = next_number(&state) % 700;
            snprintf(word, sizeof word, "w%llu", (unsigned long long)(number * number % 997));
            char* copy = strdup(word);
            struct entry** at = &table[hash(copy)];
            while (*at != NULL && strcmp((*at)->word, copy) != 0) at = &(*at)->next;
            if (*at == NULL) {
                *at = calloc(1, sizeof **at);
                if (*at == NULL) return 1;
                (*at)->word = copy;
            } else {
                free(copy);
            }
            (*at)->count++;
        }
        for (int i = 0; i < buckets; i++) {
            while (table[i] != NULL) {
                struct entry* old = table[i];
                checksum += old->count * strlen(old->word) * (unsigned)(i + 1);
                table[i] = old->next;
                free(old->word);
                free(old);
            }
        }
    }
    printf("operations %ld\nchecksum %llu\n", rounds * text_words, (unsigned long long)checksum);
    return 0;
}
