/* A thread that only frees what another allocates, through a ring bounded to 64 MB: peak RSS against what was live.
 *
 *   ring [TOTAL_MB] [full|drained]
 *
 * `full` keeps the ring between 7/8 full and full, so that the live size is the bound whatever the machine's speed;
 * `drained` lets the consumer take everything as soon as it can. */
#include <pthread.h>

#include "row.h"

enum { ring_slots = 1 << 18, batch = 64, sizes_from = 16, sizes_to = 1039 };
static const size_t bound_bytes = (size_t)64 << 20;

static struct {
    void* block;
    size_t size;
} ring[ring_slots];
static size_t head, tail, live_bytes, peak_live_bytes;
static int keep_full = 1, finished;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void* consume(void* unused) {
    (void)unused;
    size_t wanted = keep_full ? bound_bytes / 8 * 7 : 0;
    for (;;) {
        void* taken[batch];
        size_t bytes = 0;
        int count = 0;
        pthread_mutex_lock(&lock);
        while (!finished && live_bytes <= wanted) pthread_cond_wait(&changed, &lock);
        for (; count < batch && tail != head; count++, tail++) {
            taken[count] = ring[tail % ring_slots].block;
            bytes += ring[tail % ring_slots].size;
        }
        pthread_mutex_unlock(&lock);
        if (count == 0) return NULL;
        for (int i = 0; i < count; i++) free(taken[i]);
        pthread_mutex_lock(&lock);
        live_bytes -= bytes;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
    }
}

int main(int argc, char** argv) {
    size_t total = (size_t)(argc > 1 ? atol(argv[1]) : 1500) << 20;
    keep_full = !(argc > 2 && strcmp(argv[2], "drained") == 0);
    memset(ring, 1, sizeof ring);
    free(must(malloc(64)));
    long base = memory_now().rss_kib;
    double start = milliseconds_now();
    pthread_t consumer;
    if (pthread_create(&consumer, NULL, consume, NULL) != 0) return 1;

    uint64_t seed = 64;
    for (size_t produced = 0; produced < total;) {
        void* made[batch];
        size_t made_sizes[batch];
        size_t bytes = 0;
        for (int i = 0; i < batch; i++) {
            made_sizes[i] = sizes_from + (size_t)(random_next(&seed) % (sizes_to - sizes_from + 1));
            made[i] = must(malloc(made_sizes[i]));
            memset(made[i], 1, made_sizes[i]);
            bytes += made_sizes[i];
        }
        pthread_mutex_lock(&lock);
        while (live_bytes + bytes > bound_bytes) pthread_cond_wait(&changed, &lock);
        for (int i = 0; i < batch; i++, head++) {
            ring[head % ring_slots].block = made[i];
            ring[head % ring_slots].size = made_sizes[i];
        }
        live_bytes += bytes;
        if (live_bytes > peak_live_bytes) peak_live_bytes = live_bytes;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
        produced += bytes;
    }
    pthread_mutex_lock(&lock);
    finished = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(consumer, NULL);
    double peak_kib = (double)(peak_rss_kib() - base);
    printf("milliseconds %.1f\npeak_live_mib %.1f\npeak_rss_mib %.1f\npeak_over_live %.3f\n",
           milliseconds_now() - start, (double)peak_live_bytes / 1048576.0, peak_kib / 1024.0,
           peak_kib * 1024.0 / (double)peak_live_bytes);
    return 0;
}
