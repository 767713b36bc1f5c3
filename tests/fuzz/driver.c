// SPDX-License-Identifier: Apache-2.0
//
// Runs a fuzz target without libFuzzer, so that every compiler and every test run replays the
// corpus.
//
//     fuzz_SUBJECT FILE|FOLDER…
//
// Each input is given as it is, then cut short at a few lengths, then with single bits flipped at
// places that follow from its length: the same inputs at every run, thousands of neighbours of each
// seed. The empty input is always given. Without a single file the run fails: a corpus that got
// lost is not a pass.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX_BYTES ((size_t)1 << 20)
#define CUTS            32
#define FLIPS           512
#define PATH_BYTES      4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t inputs;

// A copy of exactly len bytes, so that the sanitizer sees a read one byte past the end.
static void run_exactly(const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        abort();
    memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_neighbours(uint8_t *data, size_t len) {
    uint64_t step = 0x9e3779b97f4a7c15U; // spreads the places; any odd number would do

    run_exactly(data, len);
    if (len == 0)
        return;
    for (size_t i = 0; i < CUTS; i++)
        run_exactly(data, len * i / CUTS);
    for (size_t i = 0; i < FLIPS; i++) {
        uint64_t place = (step * (i + 1)) % ((uint64_t)len * 8);
        uint8_t bit = (uint8_t)(1U << (place % 8));

        data[place / 8] ^= bit;
        run_exactly(data, len);
        data[place / 8] ^= bit;
    }
}

static int run_file(const char *path) {
    uint8_t *data = malloc(INPUT_MAX_BYTES);
    FILE *file = fopen(path, "rbe");
    size_t len;

    if (!data || !file) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        if (file)
            fclose(file);
        return -1;
    }
    len = fread(data, 1, INPUT_MAX_BYTES, file);
    fclose(file);
    run_neighbours(data, len);
    free(data);
    inputs++;
    return 0;
}

static int run_path(const char *path) {
    struct dirent *entry;
    struct stat st;
    DIR *folder;
    int r = 0;

    if (stat(path, &st) < 0) {
        fprintf(stderr, "%s: no such file or folder\n", path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return run_file(path);
    folder = opendir(path);
    if (!folder)
        return -1;
    while (r == 0 && (entry = readdir(folder))) {
        char inner[PATH_BYTES];
        int n = snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);

        if (entry->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof(inner))
            continue;
        if (stat(inner, &st) == 0 && S_ISREG(st.st_mode))
            r = run_file(inner);
    }
    closedir(folder);
    return r;
}

int main(int argc, char **argv) {
    run_exactly((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (run_path(argv[i]) < 0)
            return EXIT_FAILURE;
    }
    if (inputs == 0) {
        fprintf(stderr, "%s: no inputs: give it the files or folders of its corpus\n", argv[0]);
        return EXIT_FAILURE;
    }
    printf("%zu inputs and their neighbours\n", inputs);
    return EXIT_SUCCESS;
}
