#!/bin/sh
# Click data as they come: TABs, Windows line ends, NUL bytes, absurd numbers, repeated names, features
# and fields that training did not have, caches that are not theirs.  Handled, or refused with the
# line and the remedy, and an old output stays.
. "${0%/*}/lib.inc"
echo old >old.safetensors

t() { # MESSAGE PATH OPTIONS...
    m=$1 path=$2
    shift 2
    expect 1 "$m" -- train ffm --train "$path" --cache none -o old.safetensors "$@"
    [ "$(cat old.safetensors)" = old ] || fail "old.safetensors was changed by $path"
}

# Forty columns of a click log: LABEL WORD.
click() {
    printf '%s\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13' "$1"
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
        printf '\tv%s%s' "$i" "$2"
    done
    printf '\t%s\n' "$2"
}
{ click 0 a && click 1 b && click 0 c; } >good.criteo

# A TAB in a category.
{ click 0 a && click 1 "b$(printf '\t')x"; } >tab.criteo
t 'tab.criteo:2: has 66 columns' tab.criteo --format criteo
has err 'a category cannot hold a TAB'
printf 'y\tcolour\tn\n1\tred\t2\n0\tblue\tgreen\t3\n' >tab.csv
t 'tab.csv:3: has 4 columns where the first line has 3' tab.csv
has err 'with quotes around a value that holds a TAB'
printf 'y,colour\n1,red\n0,"blue\tgreen"\n1,red\n0,"blue\tgreen"\n' >quoted.csv
expect 0 -- inspect quoted.csv --cache none --json
holds "$(number out features)" == 2

# Windows line ends: the same examples.
loss() { # PATH: the loss of one deterministic pass
    expect 0 -- train linear --train "$1" --cache none --progressive --mode sequential --json
    number out online_loss
}
printf 'y,colour,n\n1,red,1\n0,blue,2\n1,red,3\n' >good.csv
printf '1 0:1:1 1:2:0.5\n0 0:3:1 1:4:1\n1 0:1:1 1:4:1\n' >good.ffm
printf '1 |a x y:2\n-1 2.0 |a z\n1 |b x\n' >good.vw
printf '+1 1:1 2:0.5\n-1 2:1\n+1 1:1 3:1\n' >good.svm
for f in good.criteo good.csv good.ffm good.vw good.svm; do
    awk '{ printf "%s\r\n", $0 }' $f >crlf."${f#good.}"
    [ "$(loss $f)" = "$(loss crlf."${f#good.}")" ] || fail "$f: Windows line ends change the loss"
done

# NUL bytes.
for f in good.criteo good.csv good.ffm good.vw good.svm; do
    {
        cat $f
        printf '1 0:1:1 \0001:2:1\n'
    } >nul."${f#good.}"
    format=${f#good.}
    [ "$format" = ffm ] && format=libffm
    [ "$format" = svm ] && format=libsvm
    t "nul.${f#good.}:" nul."${f#good.}" --format "$format"
done
printf '1 |a x\n-1 |a y \000z\n' >nul.vw
t 'nul.vw:2: holds a NUL byte' nul.vw --format vw
has err "remove it with: tr -d"

# Numbers that are too large, or none.
printf '1 0:1:1\n0 4000000000:2:1\n' >field.ffm
t 'field.ffm:2: "4000000000:2:1": fields go up to 4095' field.ffm --format libffm
printf '1 0:1:1\n0 1:99999999999:1\n' >feature.ffm
t 'feature.ffm:2:' feature.ffm --format libffm
printf '1 0:1:1\n0 1:2:nan\n' >nan.ffm
t 'nan.ffm:2:' nan.ffm --format libffm
printf '1 0:1:1\nx 1:2:1\n' >label.ffm
t 'label.ffm:2:' label.ffm --format libffm
printf '1 |a x:1e99\n-1 |a y\n' >big.vw
t 'big.vw:1:' big.vw --format vw

# Headers.
printf 'y,n,n\n1,2,3\n0,3,4\n' >twice.csv
t 'twice.csv:1: the header names two columns "n", 2 and 3; rename one' twice.csv
expect 2 'has no column "z" for the label; its columns are y, colour, n' -- \
    train ffm --train good.csv --label z --cache none -o old.safetensors
expect 2 'has no column "z"' -- train ffm --train good.csv --ignore z --cache none
expect 2 'has no column "z"' -- train ffm --train good.csv --categorical z --cache none
expect 2 'has no column "z"' -- train ffm --train good.csv --weight z --cache none
[ "$(cat old.safetensors)" = old ] || fail 'old.safetensors was changed by a wrong column'

# Features and fields that training did not have are left out, and told.
expect 0 -- train ffm --train good.ffm --cache none -o m.safetensors --quiet
printf '1 0:1:1 1:77:1\n0 9:5:1 1:4:1\n1 7:99:1\n0 1:1:1\n' >unseen.ffm
expect 0 '3 entries of unseen features' -- predict m.safetensors --data unseen.ffm --cache none -o p.txt
[ "$(wc -l <p.txt)" -eq 4 ] || fail 'not four predictions'
printf '1 0:1:1\n0 1:4:1\n1\n0 1:1:1\n' >seen.ffm
expect 0 -- predict m.safetensors --data seen.ffm --cache none --quiet
[ "$(cat out)" = "$(cat p.txt)" ] || fail 'what was not seen changes predictions'
expect 0 -- train ffm --train good.csv --label y --cache none -o c.safetensors --quiet
printf 'more,n,colour\nx,1,green\nx,2,red\n' >unseen.csv
expect 0 'unseen' -- predict c.safetensors --data unseen.csv --cache none
printf 'n,shade\n1,red\n' >other.csv
expect 1 'has no column "colour", which the model was trained on' -- \
    predict c.safetensors --data other.csv --cache none
expect 1 -- predict c.safetensors --data good.ffm --format libffm --cache none

# A cache that another file, version, or other options left: read anew, with the same result.
expect 0 -- synth clicks -o a.vw --format vw --rows 6000 --quiet
expect 0 -- synth clicks -o b.vw --format vw --rows 6000 --first 6000 --quiet
run() { # OPTIONS...: its loss; says whether the cache was used
    expect 0 -- train linear --train a.vw --progressive --mode sequential --json "$@"
    number out online_loss
}
want=$(run --cache none)
[ "$(run)" = "$want" ] || fail 'the first reading differs'
ls a.vw.asgd-cache >/dev/null || fail 'there is no cache'
[ "$(run)" = "$want" ] || fail 'the cache gives another loss'
has err 'from cache'
cp a.vw.asgd-cache kept
again() { # WHAT
    [ "$(run)" = "$want" ] || fail "$1: another loss"
    lacks err 'from cache'
    [ "$(run)" = "$want" ] || fail "$1: another loss after that"
    has err 'from cache'
}
expect 0 -- inspect b.vw
cp b.vw.asgd-cache a.vw.asgd-cache
again 'the cache of another file'
printf '\011' | dd of=a.vw.asgd-cache bs=1 seek=8 conv=notrunc 2>dd.log
again 'another version'
head -c 100000 kept >a.vw.asgd-cache
again 'a cache that is cut'
{ head -c 200000 kept && printf 'damage' && tail -c +200007 kept; } >a.vw.asgd-cache
again 'a damaged cache'
: >a.vw.asgd-cache
again 'an empty cache'
[ "$(run --hash-bits 12)" != "$want" ] || fail 'options are not heard'
lacks err 'from cache'
again 'the cache of other options'
cat b.vw >>a.vw
[ "$(run)" != "$want" ] || fail 'what was appended is not read'
lacks err 'from cache'
done_testing
