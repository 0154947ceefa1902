/* replay.c - runs a fuzz target over the files of its corpus, in the normal test run.
 *
 * Arguments are files or folders (one level). Prints how many inputs it ran; no input at all is a
 * failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long inputs;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t cap = 4u << 20;
    uint8_t *data = malloc(cap);
    if (!data)
        exit(1);
    size_t n = fread(data, 1, cap, f);
    (void)fclose(f); /* read only: nothing to lose */
    /* An allocation of exactly the input's size lets the sanitizer see one byte past it. */
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        exit(1);
    for (size_t i = 0; i < n; i++)
        exact[i] = data[i];
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, n); /* reserved by libFuzzer: always 0 */
    free(exact);
    inputs++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            run_file(argv[i]);
            continue;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            struct stat st;
            int len = snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (len > 0 && (size_t)len < sizeof path && stat(path, &st) == 0 && S_ISREG(st.st_mode))
                run_file(path);
        }
        (void)closedir(dir); /* read only */
    }
    printf("%lu inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
