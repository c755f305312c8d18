#!/bin/sh
# --config: the same names, comments, the command line first, errors by file and line.
. "${0%/*}/lib.inc"
libsvm d.svm 200

cat >run.conf <<'END'
# a comment
train   = d.svm
--epochs = 2    # dashes may stay
seed=7

quiet = true
workers = 1
cache = none
END
expect 0 -- train linear --config run.conf --json
holds "$(number out epochs)" == 2
holds "$(number out seed)" == 7
[ -s err ] && fail 'quiet = true was not heard'
expect 0 -- train linear --config run.conf --json --epochs 3
holds "$(number out epochs)" == 3

bad() { # LINE MESSAGE
    printf '# first\n%s\n' "$1" >bad.conf
    expect 2 "bad.conf:2: $2" -- train linear --train d.svm --config bad.conf
}
bad 'lr = -3' 'lr -3: must be a number above 0'
bad 'worker = 3' 'worker: did you mean workers?'
bad 'lr 0.1' 'must be "name = value"'
bad 'lr =' 'lr needs a value'
bad 'pin = maybe' 'pin maybe: must be true or false'
bad 'data = x' 'data is not an option of asgd train'
printf 'lr = 1\nlr = 2\n' >bad.conf
expect 2 'bad.conf:2: lr is given twice' -- train linear --train d.svm --config bad.conf
printf 'lr = zero\n' >bad.conf
expect 2 'bad.conf:1: lr zero' -- train linear --train d.svm --config bad.conf --lr 1
expect 1 'No such file' -- train linear --train d.svm --config missing.conf
done_testing
