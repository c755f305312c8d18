#!/bin/sh
# asgd synth: files that are whole or not there, the same by every way, and what is told about them.
. "${0%/*}/lib.inc"

# Clicks.
expect 0 -- synth clicks -o train.ffm --rows 9000 --seed 1
has err 'train.ffm: 9000 rows of 39 fields, 2710347 features, 26.'
has err 'Bayes logloss 0.'
[ ! -s out ] || fail 'something on standard output'
[ "$(wc -l <train.ffm)" -eq 9000 ] || fail 'not 9000 lines'
[ "$(awk '{ print NF }' train.ffm | sort -u)" = 40 ] || fail 'not 39 fields'

# Standard output, in parts, by a configuration file: the same rows.
"$ASGD" synth clicks -o - --rows 9000 --seed 1 2>err | cmp - train.ffm ||
    fail 'standard output differs'
has err 'Bayes logloss'
printf 'rows = 5000\nseed = 1\nformat = libffm\n' >c.conf
expect 0 -- synth clicks -o a.ffm --config c.conf --quiet
[ ! -s err ] || fail '--quiet is not quiet'
expect 0 -- synth clicks -o b.ffm --rows 4000 --first 5000 --seed 1
cat a.ffm b.ffm | cmp - train.ffm || fail 'parts differ from the whole'

# Formats and fields.
for format in libsvm vw criteo csv; do
    expect 0 -- synth clicks -o rows.$format --rows 50 --format $format
    lines=50
    [ $format = csv ] && lines=51
    [ "$(wc -l <rows.$format)" -eq $lines ] || fail "$format: not $lines lines"
done
[ "$(head -n 1 rows.csv | cut -d, -f1,2,15)" = label,I1,C1 ] || fail 'csv header'
[ "$(awk -F'\t' '{ print NF }' rows.criteo | sort -u)" = 40 ] || fail 'criteo columns'
expect 0 'rows of 6 fields' -- synth clicks -o six.svm --rows 50 --format libsvm --fields 6
[ "$(awk '{ print NF }' six.svm | sort -u)" = 7 ] || fail 'not 6 fields'

# Wrong usage.
expect 2 'needs -o FILE' -- synth clicks
expect 2 'did you mean clicks?' -- synth click -o x
expect 2 'there are: digits, clicks' -- synth pictures -o x
expect 2 '--rows 0: must be a whole number from 1 to 1099511627776' -- synth clicks -o x --rows 0
expect 2 '--fields 1: must be a whole number from 2 to 200' -- synth clicks -o x --fields 1
expect 2 '--format libfm: did you mean libffm?' -- synth clicks -o x --format libfm
expect 2 'format idx: must be libffm, libsvm, vw, criteo or csv' -- synth clicks -o x --format idx
expect 2 'must be 2 to 52 with format vw' -- synth clicks -o x --format vw --fields 53
expect 2 '--examples and --test are for digits' -- synth clicks -o x --examples 5
expect 2 'are for clicks' -- synth digits -o x --rows 5
[ ! -e x ] || fail 'something was written'

# What cannot be written.
expect 1 'nowhere/x: cannot create it' -- synth clicks -o nowhere/x --rows 5
mkdir folder
expect 1 'folder: is not a regular file' -- synth clicks -o folder --rows 5
ln -s train.ffm link
expect 1 'link: is not a regular file' -- synth clicks -o link --rows 5
if [ -e /dev/full ]; then
    "$ASGD" synth clicks -o - --rows 5 >/dev/full 2>err
    [ $? -eq 1 ] || fail 'a full standard output is not an error'
    has err 'standard output: cannot write'
fi
cp a.ffm old.ffm
(
    ulimit -f 8 || exit 77
    "$ASGD" synth clicks -o old.ffm --rows 5000 >out 2>err
)
code=$?
if [ $code -ne 77 ]; then
    [ $code -eq 1 ] || fail "exit $code, not 1, at the file limit"
    cmp a.ffm old.ffm || fail 'the old file is lost'
fi
ls | grep -q tmp && fail 'a temporary file was left'

# Digits.
digits few 30 7
digits more 90 7
[ "$(ls few | wc -l)" -eq 4 ] || fail 'not four files'
cmp few/t10k-images-idx3-ubyte more/t10k-images-idx3-ubyte || fail 'digits differ'
done_testing
