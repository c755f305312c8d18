/* make_animals.c -- make_animals ROWS SEED: the data of Fwumious Wabbit's benchmark, by its description,
 * as Vowpal Wabbit text on standard output.
 *
 * One of 1,000 animals (500 herbivores, 500 carnivores) and one of 1,000 foods (500 plants, 500 kinds of
 * meat), each uniform; the label is 1 when the animal eats the food, else -1.  A model needs their
 * product: neither alone says anything. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t mix(uint64_t x) /* splitmix64's finaliser (Steele, Lea, Flood 2014) */
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ROWS SEED\n", argv[0]);
        return 2;
    }
    uint64_t rows = strtoull(argv[1], NULL, 10), seed = mix(strtoull(argv[2], NULL, 10) + 1);
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t r         = mix(seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        int      carnivore = r & 1, meat = r >> 1 & 1;
        unsigned animal = (unsigned)((r >> 2 & 0x3fffffff) * 500 >> 30);
        unsigned food   = (unsigned)((r >> 32 & 0x3fffffff) * 500 >> 30);
        printf("%s |A %s-%u |B %s-%u\n", carnivore == meat ? "1" : "-1",
               carnivore ? "Carnivore" : "Herbivore", animal, meat ? "Meat" : "Plant", food);
    }
    if (ferror(stdout) || fclose(stdout) != 0) {
        fprintf(stderr, "%s: standard output could not be written\n", argv[0]);
        return 1;
    }
    return 0;
}
