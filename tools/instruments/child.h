/* The tracer's command line, the child's environment, and the report. */
#ifndef LANES_BENCH_CHILD_H
#define LANES_BENCH_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char** environ;

struct child_options {
    const char* preload; /* path of a shared object, or NULL */
    const char* mapped;  /* path to look for in the child's maps, or NULL */
    FILE* report;        /* key value lines go here; never the child's own output */
    double timeout_s;    /* 0 = none */
    int count_system_calls;
    char** command;
};

static inline const char* child_option_value(char** argv, int* index) {
    const char* value = argv[++*index];
    if (value == NULL) {
        fprintf(stderr, "%s: missing value\n", argv[*index - 1]);
        exit(2);
    }
    return value;
}

/* LAUNCHER [--report FD] [--preload SO] [--mapped PATH] [--timeout S] [--syscalls] -- COMMAND... */
static inline struct child_options child_parse(char** argv) {
    struct child_options options = {NULL, NULL, stdout, 0.0, 0, NULL};
    for (int i = 1; argv[i] != NULL; i++) {
        if (strcmp(argv[i], "--report") == 0) {
            options.report = fdopen(atoi(child_option_value(argv, &i)), "w");
            if (options.report == NULL) {
                perror("--report");
                exit(2);
            }
        } else if (strcmp(argv[i], "--preload") == 0) {
            options.preload = child_option_value(argv, &i);
        } else if (strcmp(argv[i], "--mapped") == 0) {
            options.mapped = child_option_value(argv, &i);
        } else if (strcmp(argv[i], "--timeout") == 0) {
            options.timeout_s = atof(child_option_value(argv, &i));
        } else if (strcmp(argv[i], "--syscalls") == 0) {
            options.count_system_calls = 1;
        } else if (strcmp(argv[i], "--") == 0) {
            options.command = argv + i + 1;
            break;
        } else {
            fprintf(stderr, "%s: unknown option %s\n", argv[0], argv[i]);
            exit(2);
        }
    }
    if (options.command == NULL || options.command[0] == NULL) {
        fprintf(stderr, "%s: no command\n", argv[0]);
        exit(2);
    }
    return options;
}

/* The caller's environment with LD_PRELOAD replaced by `preload`, or without it. Lives as long as the process. */
static inline char** child_environment(const char* preload) {
    size_t count = 0;
    while (environ[count] != NULL) count++;
    char** result = calloc(count + 2, sizeof *result);
    if (result == NULL) abort();
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0) result[used++] = environ[i];
    }
    if (preload != NULL) {
        size_t length = strlen(preload) + sizeof "LD_PRELOAD=";
        char* variable = malloc(length);
        if (variable == NULL) abort();
        snprintf(variable, length, "LD_PRELOAD=%s", preload);
        result[used] = variable;
    }
    return result;
}

#endif
