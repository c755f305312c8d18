#!/bin/sh
# Wrong usage: exit 2, a sentence that names the option and what is allowed, nothing run.
. "${0%/*}/lib.inc"
libsvm d.svm 40

expect 2 -- 
has err 'asgd synth digits'
expect 0 -- help
has out 'Commands'
expect 0 -- --help
expect 0 -- version
has out 'asgd '
expect 0 -- help train
has out '--straggler W:FACTORx'
expect 0 -- train --help
sed -n '3,4p' out | grep -q '^  asgd train' || fail 'help does not start with examples'
expect 0 -- help mlp
has out 'hidden'
expect 2 'no such command or model' -- help nothing
expect 2 'did you mean asgd train?' -- trian
expect 2 'no such command' -- frobnicate

expect 2 '--worker: did you mean --workers?' -- train linear --train d.svm --worker 3
expect 2 '--epoch: did you mean --epochs?' -- train linear --train d.svm --epoch 3
expect 2 '--frobnicate: asgd train has no such option' -- train linear --train d.svm --frobnicate 3
expect 2 '-x: no such option' -- train linear -x
expect 2 '--epochs is not an option of asgd eval (it is one of train, compare)' -- eval m --epochs 3
expect 2 'asgd train needs MODEL' -- train
expect 2 'asgd train needs --train PATH' -- train linear
expect 2 'model liner: did you mean linear?' -- train liner --train d.svm
expect 2 'there are: linear, softmax, mlp' -- train xyz --train d.svm
expect 2 'one argument too many' -- train linear extra --train d.svm
expect 2 'asgd eval needs --data PATH' -- eval m
expect 2 'asgd predict needs --data PATH' -- predict m
expect 2 'needs -o DIR' -- synth digits
expect 2 'did you mean digits?' -- synth digit -o d
expect 2 'needs PATH or --machine' -- inspect

t() { # MESSAGE OPTIONS...: with a data file that does not exist, to see that nothing is opened
    m=$1
    shift
    expect 2 "$m" -- train linear --train missing "$@"
}
t '--lr -3: must be a number above 0' --lr -3
t '--lr nan: must be a number above 0' --lr nan
t '--lr inf: must be a number above 0' --lr=inf
t '--lr 0: must be a number above 0' --lr 0
t '--lr 0x1: must be a number above 0' --lr 0x1
t '--lr 1,5: must be a number above 0' --lr 1,5
t '--lr needs a value: --lr X' --lr
t '--lr needs a value' --lr --epochs 3
t '--lr needs a value' --lr ''
t '--lr is given twice' --lr 1 --lr 2
t '--workers 0: must be a whole number from 1 to 1024' --workers 0
t '--workers 1025: must be' --workers 1025
t '--workers 1.5: must be' --workers 1.5
t '--workers 1,2: must be one number' --workers 1,2
t '--batch 0: must be a whole number from 1 to 1000000' --batch 0
t '--batch 99999999999999999999: must be' --batch 99999999999999999999
t '--epochs -1: must be a number above 0' --epochs -1
t '--warmup 1.5: must be a number from 0 to 1' --warmup 1.5
t '--beta1 1: must be a number above 0 and below 1' --beta1 1
t '--pace 5 ms: must be a time from 0 to 3600' --pace '5 ms'
t '--pace 5days: must be a time' --pace 5days
t '--seed -1: must be' --seed -1
t '--mode asink: did you mean async?' --mode asink
t '--mode nothing: must be one of' --mode nothing
t '--rule adagard: did you mean adagrad?' --rule adagard
t '--workers 2: --mode sequential has one worker' --mode sequential --workers 2
t 'only --mode sync has backup workers' --backup 1 --workers 2
t '--backup 2: must be below the 2 workers' --mode sync --backup 2 --workers 2
t 'there is no worker 9' --workers 4 --straggler 9:10x
t 'must be W:FACTORx' --workers 4 --straggler 1:fast
t 'the factor must be' --workers 4 --straggler 1:0.5x
t 'there is no metric foo' --valid missing --target foo=1
t 'did you mean accuracy?' --valid missing --target acuracy=1
t 'must be METRIC=VALUE' --valid missing --target accuracy
t 'is not a number' --valid missing --target accuracy=high
t '--target needs --valid' --target accuracy=0.9
t '--patience needs --valid' --patience 3
t '--patience 0: must be a whole number from 1 to 1000000, or never' --patience 0
t '--patience nevr: must be' --patience nevr
t '--epochs never: must be' --epochs never
t '--resume needs --checkpoint' --resume
expect 2 'standard input is --train already' -- train linear --train - --valid -
expect 2 'only sync takes backup workers' -- compare linear --train d.svm --modes async+1
expect 2 'did you mean sequential?' -- compare linear --train d.svm --modes sequental
expect 2 'there is no worker 3' -- compare linear --train d.svm --workers 2 --modes async --straggler 3:10x
# The model's own options are the model's to refuse.
expect 2 'loss' -- train linear --train d.svm --loss nothing
expect 2 'hidden' -- train mlp --train d.svm --hidden 0
expect 2 '--outer-momentum' -- train linear --train a.svm --outer-momentum 1
expect 2 '--drop' -- train linear --train a.svm --drop 0.5
expect 2 '--clip-deltas' -- train linear --train a.svm --clip-deltas 0
expect 2 '--guard' -- train linear --train a.svm --guard maybe
done_testing
