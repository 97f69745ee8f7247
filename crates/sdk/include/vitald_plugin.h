/*
 * The border between vitald and a library of probes, for libraries that are not written in Rust.
 *
 * A library exports one symbol, `vitald_plugin`: data that is read before anything is called. What can grow crosses as
 * JSON; only control crosses as C structs. Whoever makes bytes frees them. Calls may come from any thread, several at
 * a time. `major` must be equal on both sides, `minor` may differ: tables grow at their end, and carry their size.
 */
#ifndef VITALD_PLUGIN_H
#define VITALD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define VITALD_MAGIC { 'v', 'i', 't', 'a', 'l', 'd', 'P', 'l' }
#define VITALD_MAJOR 1
#define VITALD_MINOR 0

/* vitald_info.flags: a panic in this library aborts the whole process. */
#define VITALD_PANIC_ABORTS 1

/* UTF-8 that lives as long as the library. */
struct vitald_text {
    const char *data;
    size_t len;
};

#define VITALD_TEXT(literal) { literal, sizeof(literal) - 1 }

/* Bytes that are lent for the length of a call. */
struct vitald_slice {
    const uint8_t *data;
    size_t len;
};

/* Bytes that are given away. Whoever gets them calls `free` once, unless it is NULL. */
struct vitald_bytes {
    uint8_t *data;
    size_t len;
    size_t capacity;
    void (*free)(uint8_t *data, size_t len, size_t capacity);
};

/* What came of a call. */
enum vitald_outcome {
    /* It did what it was asked; the bytes are the answer. */
    VITALD_DONE = 0,
    /* It refused; the bytes are why: {"path": "port", "kind": "invalid", "message": "must be …", "known": []}. */
    VITALD_REFUSED = 1,
    /* It went wrong in itself; the bytes are a message. */
    VITALD_PANICKED = 2,
    /* It was cancelled before it had come to an answer; there are no bytes. */
    VITALD_CANCELLED = 3,
};

/* Where an answer is to go: called exactly once, from any thread. */
struct vitald_done {
    void *data;
    void (*call)(void *data, uint32_t outcome, struct vitald_bytes answer);
};

/* What a check may ask of whoever runs it. Given away with the check, and released by it. */
struct vitald_services {
    void *data;
    /*
     * Begins to serve a request, and comes back at once: {"exec": {"command": ["true"]}}, "pids", "memory" or "heard".
     * The answer that `done` gets has the request's name: {"memory": {"Ok": 4096}}, {"memory": {"Err": "why"}}. What
     * comes back is passed to `cancel` once.
     */
    void *(*call)(void *data, struct vitald_slice request, struct vitald_done done);
    /* Drops a request, if it is still under way, and forgets it: called once for each. */
    void (*cancel)(void *request);
    /* Nothing more will be asked. */
    void (*release)(void *data);
};

/* What a library can do. No function of it may be NULL, nor unwind. */
struct vitald_table {
    /* sizeof(struct vitald_table) */
    size_t size;
    /* Its kinds of probe: [{"key": "file", "schema": {…}}]. */
    uint32_t (*describe)(struct vitald_bytes *answer);
    /*
     * What a run must be given: {"key": "file", "config": {…}} in, {} out, or
     * {"notifySocket": true, "watchdog": {"secs": 9, "nanos": 0}}.
     */
    uint32_t (*needs)(struct vitald_slice request, struct vitald_bytes *answer);
    /*
     * Builds a probe: {"key": "file", "config": {…}, "component": {"name": "api", "kind": …, "ports": {"http": 80},
     * "workingDir": "/srv", "logFile": null}} in. The instance must not be NULL; there is no answer but a refusal.
     */
    uint32_t (*build)(struct vitald_slice request, void **instance, struct vitald_bytes *answer);
    /*
     * Begins a check, and comes back at once: {"timeout": {"secs": 1, "nanos": 0}, "run": null}, or with
     * {"process": {"pid": 7, "startTime": 1, "bootId": "…"}, "logOffset": 0, "container": null} as its run. `done` is
     * called once, perhaps before this comes back, with "success", {"warning": "…"}, {"failure": "…"} or
     * {"unknown": "…"}. What comes back is passed to `cancel` once, and the instance is not destroyed before `done` was
     * called.
     */
    void *(*check)(void *instance, struct vitald_slice request, struct vitald_services services,
                   struct vitald_done done);
    /*
     * Drops a check, if it is still under way, and forgets it: called once for each, also for those that are done.
     * `done` is called when it has really ended.
     */
    void (*cancel)(void *check);
    /* Ends a probe that no check of is under way. */
    void (*destroy)(void *instance);
};

/* What a library says of itself. */
struct vitald_info {
    /* VITALD_MAJOR, VITALD_MINOR */
    uint32_t major;
    uint32_t minor;
    /* sizeof(struct vitald_info) */
    uint32_t size;
    uint32_t flags;
    struct vitald_text name;
    struct vitald_text version;
    /* The version of vitald's SDK, or of this header. */
    struct vitald_text sdk;
    /* The compiler. */
    struct vitald_text rustc;
    const struct vitald_table *table;
};

/* The one symbol: const struct vitald_export vitald_plugin = { VITALD_MAGIC, &info, &info + 1 }; */
struct vitald_export {
    uint8_t magic[8];
    const struct vitald_info *first;
    const struct vitald_info *end;
};

#endif
