/* replay_main.c -- runs a fuzzer's target over the files of a folder, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 1 << 20 };

static int replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    /* as long as the file exactly, so that a sanitizer sees a read past the end */
    uint8_t *whole = malloc(MOST);
    size_t   bytes = f && whole ? fread(whole, 1, MOST, f) : 0;
    uint8_t *data  = f && whole ? malloc(bytes ? bytes : 1) : NULL;
    if (!data) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < bytes; i++) data[i] = whole[i];
    fclose(f);
    free(whole);
    printf("%s\n", name); /* before: it says what crashed */
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    return 1;
}

int main(int argc, char **argv)
{
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    if (!d) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') n += replay(argv[1], e->d_name);
    closedir(d);
    printf("%d files\n", n);
    return n == 0; /* an empty corpus tests nothing */
}
