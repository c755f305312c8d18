#!/bin/sh
# Options that say how data are read: one name for all commands, refused where they do nothing, and
# remembered by models.
. "${0%/*}/lib.inc"

# A table: y follows the city, not the day; w weighs; id is noise that looks like a number.
awk 'BEGIN {
    print "id,city,day,size,w,y"
    for (i = 0; i < 600; i++) {
        c = i % 3
        printf "%d,%s,%d,%g,%d,%s\n", i, c == 0 ? "Rome" : c == 1 ? "Oslo" : "Bonn", i % 7, i % 13 / 13,
            1 + i % 2, c == 0 ? "yes" : "no"
    }
}' >t.csv
set -- --label y --weight w --ignore id --categorical day,city --bins 4 --cache none

expect 0 -- inspect t.csv "$@"
has out 'columns     6, 1 of them left out'
has out '     6  y: label'
has out '     5  w: weight'
has out '     2  city: category'
has out '     3  day: category'
has out '     4  size: number in 4 groups'
has out 'weights     1 to 2, mean 1.5'
has out '  no              400  66.67 %'
expect 0 -- inspect t.csv "$@" --json
has out '"format": "csv"'
holds "$(number out fields)" == 3
has out '{"label": "yes", "examples": 200}'

# All of them from a configuration file, where lists may stand twice.
cat >run.conf <<'END'
train        = t.csv
valid        = t.csv
label        = y
weight       = w
ignore       = id
categorical  = day
categorical  = city
bins         = 4
hash-bits    = 20
cache        = none
order        = file
normalize    = 1
k            = 2
patience     = never
mode         = sequential
END
expect 0 -- train fm --config run.conf -o m.safetensors --json
holds "$(number out auc)" '>' 0.999
holds "$(number out ne)" '<' 0.8
has err 'model: fm k=2 normalize=1'
has out '"calibration"'
lacks out '"rmse"'
lacks out '"p1"'
expect 0 -- train fm --config run.conf --progressive
has out 'progressive loss'

# The model remembers: other columns are left out, the label may be missing, names come back.
cut -d, -f2-4 t.csv >new.csv
expect 0 -- predict m.safetensors --data new.csv --cache none -o p.txt
[ "$(wc -l <p.txt)" -eq 600 ] || fail 'not one line for each example'
[ "$(awk '($1 > 0.5) != (NR % 3 == 1)' p.txt | wc -l)" -eq 0 ] || fail 'wrong predictions'
cut -d, -f3,4 t.csv >short.csv
expect 1 'short.csv: has no column "city", which the model was trained on' -- \
    predict m.safetensors --data short.csv --cache none
for option in '--hash-bits 20' '--bins 4' '--ignore id' '--categorical day' '-q ab'; do
    # shellcheck disable=SC2086
    expect 2 'remembers how its training data were read' -- eval m.safetensors --data t.csv $option
    # shellcheck disable=SC2086
    expect 2 'remembers' -- predict m.safetensors --data t.csv $option
    # shellcheck disable=SC2086
    expect 2 'remembers' -- inspect m.safetensors --data t.csv $option
done
expect 0 -- eval m.safetensors --data t.csv --label y --weight w --cache none --json
holds "$(number out auc)" '>' 0.999

# An option that does nothing is refused, where it is an error and where it comes too late.
libsvm d.svm 40
refused() { # OPTION FORMATS
    # shellcheck disable=SC2086
    expect 2 "the data are libsvm, for which it does nothing" -- train linear --train d.svm $1 --cache none
    has err "(it is for: $2)"
    # shellcheck disable=SC2086
    expect 2 'it does nothing' -- inspect d.svm $1 --cache none
}
refused '--label 1' csv
refused '--weight w' csv
refused '--ignore a' csv
refused '--categorical a' csv
refused '--bins 8' csv
refused '--hash-bits 18' criteo,csv,vw
refused '-qab' vw
t() { # MESSAGE OPTIONS...
    m=$1
    shift
    expect 2 "$m" -- train linear --train missing "$@"
}
t '--hash-bits 9: must be a whole number from 10 to 32' --hash-bits 9
t '--hash-bits 33: must be a whole number from 10 to 32' --hash-bits 33
t '--bins 1: must be a whole number from 2 to 65536' --bins 1
t '--order random: must be one of shuffle,file' --order random
t '--order shufle: did you mean shuffle?' --order shufle
t '--hashbits: did you mean --hash-bits?' --hashbits 20
t '--interaction: did you mean --interactions?' --interaction ab
t '--normalise: did you mean --normalize?' --normalise 1
t '--interactions needs a value: --interactions AB,CD' -q

# Fewer bits, fewer features: two thousand names in 1024 places.
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "%d |a n%d |b m%d\n", i % 2 ? 1 : -1, i, i % 2 }' >t.vw
expect 0 -- inspect t.vw --cache none --json
holds "$(number out features)" == 2002
expect 0 -- inspect t.vw --cache none --json --hash-bits 10
holds "$(number out features)" '<=' 1024
expect 0 -- inspect t.vw --cache none --json -q ab -q bb
holds "$(number out features)" '>' 4000
has out '"interactions": ["ab", "bb"]'
done_testing
