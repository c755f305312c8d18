#!/bin/sh
# Bad input: exit 1, a sentence that says where and what, and an old output file as it was.
. "${0%/*}/lib.inc"
libsvm good.svm 100
echo old >old.safetensors

t() { # MESSAGE PATH
    expect 1 "$1" -- train linear --train "$2" --cache none -o old.safetensors
    [ "$(cat old.safetensors)" = old ] || fail "old.safetensors was changed by $2"
}
t 'No such file' missing
mkdir empty
t 'empty' empty
: >nothing.svm
t 'nothing.svm' nothing.svm
printf '+1 1:1\n-1 2:abc\n' >bad.svm
t 'bad.svm:2:' bad.svm
printf '+1 1:1\n-1 2:1\nx 1:1\n' >label.svm
t 'label.svm:3:' label.svm

digits digits 100 20
cp -r digits short
head -c 5000 digits/train-images-idx3-ubyte >short/train-images-idx3-ubyte
t 'train-images-idx3-ubyte' short
cp -r digits cut
head -c 3 digits/train-labels-idx1-ubyte >cut/train-labels-idx1-ubyte
t 'train-labels-idx1-ubyte' cut

expect 1 -- eval missing.safetensors --data good.svm
expect 1 -- eval old.safetensors --data good.svm
expect 1 -- inspect missing

# Standard input.
"$ASGD" train linear --train - --format libsvm --json --quiet <good.svm >out 2>err || fail 'stdin'
holds "$(number out examples)" == 1000
has out '"model": "linear"'
done_testing
