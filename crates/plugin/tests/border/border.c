/*
 * A library of one probe, `even`, in C: healthy when the number of its checks is even. It does badly on purpose where
 * the macro BAD says how. Its JSON is what it is told by heart: this is about the border, not about C.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vitald_plugin.h"

#define GOOD 0
#define SHORT_TABLE 1
#define NO_FUNCTION 2
#define OLD_BORDER 3
#define NO_TABLE 4
#define NO_TEXT 5
#define SHORT_INFO 6
#define WRONG_MAGIC 7
#define NO_INFO 8
#define NULL_INFO 9
#define TORN 10
#define HUGE_TEXT 11
#define NEWER 13
#define ANSWERS_RUBBISH 20
#define ANSWERS_TWICE 21
#define ANSWERS_HUGE 22
#define NO_INSTANCE 23
#define ODD_OUTCOME 24
#define NULL_BYTES 25

#ifndef BAD
#define BAD GOOD
#endif

static void free_bytes(uint8_t *data, size_t len, size_t capacity) {
    (void)len;
    (void)capacity;
    free(data);
}

static struct vitald_bytes text(const char *text) {
    size_t len = strlen(text);
    struct vitald_bytes bytes = { malloc(len + 1), len, len + 1, free_bytes };
    memcpy(bytes.data, text, len);
    if (BAD == ANSWERS_HUGE) bytes.len = bytes.capacity = SIZE_MAX / 2;
    if (BAD == NULL_BYTES) bytes.data = NULL;
    return bytes;
}

static const char *const kinds =
    "[{\"key\": \"even\", \"schema\": {\"type\": \"object\", \"properties\": {}, \"additionalProperties\": false}}]";

static uint32_t describe(struct vitald_bytes *answer) {
    *answer = text(BAD == ANSWERS_RUBBISH ? "\xff\xfe rubbish" : kinds);
    return BAD == ODD_OUTCOME ? 77 : VITALD_DONE;
}

static uint32_t needs(struct vitald_slice request, struct vitald_bytes *answer) {
    (void)request;
    *answer = text("{}");
    return VITALD_DONE;
}

static int says(struct vitald_slice request, const char *word) {
    size_t len = strlen(word);
    for (size_t at = 0; at + len <= request.len; at++)
        if (memcmp(request.data + at, word, len) == 0) return 1;
    return 0;
}

static uint32_t build(struct vitald_slice request, void **instance, struct vitald_bytes *answer) {
    if (says(request, "\"wrong\"")) {
        *answer = text("{\"path\": \"wrong\", \"kind\": \"forbidden\", \"message\": \"there is nothing to say\", "
                       "\"known\": []}");
        return VITALD_REFUSED;
    }
    *instance = BAD == NO_INSTANCE ? NULL : calloc(1, sizeof(atomic_int));
    return VITALD_DONE;
}

static const char *verdict(atomic_int *count) {
    return atomic_fetch_add(count, 1) % 2 ? "\"success\"" : "{\"failure\": \"odd\"}";
}

struct asking {
    struct vitald_services services;
    struct vitald_done done;
    void *request;
};

/* The host's answer becomes the reason. */
static void answered(void *data, uint32_t outcome, struct vitald_bytes answer) {
    struct asking *asking = data;
    char said[4096];
    char quoted[2048];
    size_t len = 0;
    for (size_t at = 0; at < answer.len && len + 2 < sizeof(quoted); at++) {
        if (answer.data[at] == '"' || answer.data[at] == '\\') quoted[len++] = '\\';
        quoted[len++] = (char)answer.data[at];
    }
    quoted[len] = 0;
    snprintf(said, sizeof(said), "{\"failure\": \"%u %s\"}", outcome, quoted);
    if (answer.free) answer.free(answer.data, answer.len, answer.capacity);
    asking->done.call(asking->done.data, VITALD_DONE, text(said));
}

static void *check(void *instance, struct vitald_slice request, struct vitald_services services,
                   struct vitald_done done) {
    if (says(request, "\"logOffset\"")) {
        struct asking *asking = malloc(sizeof(*asking));
        *asking = (struct asking){ services, done, NULL };
        static const char pids[] = "\"pids\"";
        struct vitald_slice ask = { (const uint8_t *)pids, sizeof(pids) - 1 };
        asking->request = services.call(services.data, ask, (struct vitald_done){ asking, answered });
        return asking;
    }
    services.release(services.data);
    done.call(done.data, VITALD_DONE, text(verdict(instance)));
    if (BAD == ANSWERS_TWICE) done.call(done.data, VITALD_DONE, text("\"success\""));
    return NULL;
}

static void cancel(void *check) {
    struct asking *asking = check;
    if (!asking) return;
    asking->services.cancel(asking->request);
    asking->services.release(asking->services.data);
    free(asking);
}

static void destroy(void *instance) {
    free(instance);
}

#if BAD == NEWER
/* As a later minor version has them: with more at the end. */
struct newer_table { struct vitald_table known; void (*more)(void); };
static const struct newer_table newer = {
    { sizeof(newer), describe, needs, build, check, cancel, destroy }, NULL,
};
#define table newer.known
#else
static const struct vitald_table table = {
    BAD == SHORT_TABLE ? 16 : sizeof(table),
    describe, needs, build, check, cancel,
    BAD == NO_FUNCTION ? NULL : destroy,
};
#endif

#if BAD == NEWER
static const struct newer_info { struct vitald_info known; size_t more[3]; } info = {{
#else
static const struct vitald_info info = {
#endif
    BAD == OLD_BORDER ? 7 : VITALD_MAJOR,
    BAD == NEWER ? 9 : VITALD_MINOR,
    BAD == SHORT_INFO ? 24 : sizeof(info),
    0,
#if BAD == NO_TEXT
    VITALD_TEXT("\xff\xff"),
#elif BAD == HUGE_TEXT
    { "even", SIZE_MAX },
#else
    VITALD_TEXT("even-in-c"),
#endif
    VITALD_TEXT("0.9"),
    VITALD_TEXT("6.6.6"),
    VITALD_TEXT("a C compiler"),
    BAD == NO_TABLE ? NULL : &table,
#if BAD == NEWER
}, { 7, 7, 7 }
#endif
};

const struct vitald_export vitald_plugin = {
#if BAD == WRONG_MAGIC
    { 'w', 'r', 'o', 'n', 'g', '!', '!', '!' },
#else
    VITALD_MAGIC,
#endif
#if BAD == NO_INFO
    &info, &info
#elif BAD == NULL_INFO
    NULL, &info + 1
#elif BAD == NEWER
    &info.known, (const struct vitald_info *)(&info + 1)
#elif BAD == TORN
    &info, (const struct vitald_info *)((const char *)(&info + 1) + 3)
#else
    &info, &info + 1
#endif
};
