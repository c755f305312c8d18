#!/bin/sh
# mf, bpr and recommend: from text to recommendations, and what is refused.
. "${0%/*}/lib.inc"

# Users 1..40 like items of their own half; ratings 1..5.  ratings FILE SEED
ratings() {
    awk -v s="$2" 'BEGIN {
        srand(s)
        for (i = 0; i < 3000; i++) {
            u = 1 + int(rand() * 40); v = 1 + int(rand() * 30)
            printf "u%d\ti%d\t%d\t%d\n", u, v, (u + v) % 2 ? 4 + (rand() < 0.5) : 1 + (rand() < 0.5), i
        }
    }' >"$1"
}
ratings train 1
ratings test 2

expect 0 -- train mf --train train --valid test --k 4 --epochs 30 -o m.safetensors --json --quiet
holds "$(number out rmse)" '<' 0.7
cp out first
expect 0 -- train mf --train train --valid test --k 4 --epochs 30 -o m2.safetensors --json --quiet --workers 4
holds "$(number out rmse)" '==' "$(number first rmse)"
cmp -s m.safetensors m2.safetensors || fail 'four workers give another model'
expect 0 -- train mf --train train --valid test --k 4 --epochs 30 --blocks off --workers 2 --json --quiet
holds "$(number out rmse)" '<' 0.7
expect 0 -- train mf --train train --holdout 0.2 --seed 4 --k 4 --json --quiet
holds "$(number out rmse)" '<' 1.6
expect 0 -- train mf --train train --holdout 0.2 --holdout-by time --k 4 --quiet
expect 0 -- train mf --train train,test --k 4
has err 'ratings, 6000 of 40 users'
expect 0 -- train mf --train train --k 4 --l2 0.1 --l2-user 0.2 --loss absolute --quiet
expect 0 -- train mf --train train --k 4 --nonnegative 1 --quiet
gzip -k train
expect 0 -- train mf --train train.gz --k 4 --quiet

expect 0 -- eval m.safetensors --data test --json
holds "$(number out rmse)" '==' "$(number first rmse)"
printf 'u1 i2 5\nnobody i2 1\nu1 nothing 1\nnobody nothing 3\n' >cold
expect 0 -- predict m.safetensors --data cold
[ "$(wc -l <out)" -eq 4 ] || fail 'predictions are missing'
has err 'unknown'
expect 0 -- inspect m.safetensors
has out 'user_bias'
expect 0 -- inspect train --format ratings

expect 0 -- recommend m.safetensors --user u1 --top 5
[ "$(wc -l <out)" -eq 5 ] || fail 'not five items'
[ "$(cut -f1 out | sed 's/i//' | awk '$1 % 2 { n++ } END { print n + 0 }')" -eq 0 ] || fail 'wrong half'
expect 0 -- recommend m.safetensors --user u1 --top 30 --exclude train
while read -r item _; do grep -q "^u1	$item	" train && fail "$item was excluded"; done <out
expect 0 'no such user' -- recommend m.safetensors --user nobody --top 3
[ "$(wc -l <out)" -eq 3 ] || fail 'nothing for an unknown user'
expect 0 -- recommend m.safetensors --item i2 --top 4
[ "$(cut -f1 out | sed 's/i//' | awk '$1 % 2 { n++ } END { print n + 0 }')" -eq 0 ] || fail 'no neighbours'
expect 0 -- recommend m.safetensors --top 2 -o all
[ "$(wc -l <all)" -eq 80 ] || fail 'not two items for each user'
expect 0 -- recommend m.safetensors --user u7 --top 2
[ "$(sed 's/^/u7	/' out)" = "$(grep '^u7	' all)" ] || fail 'all users and one differ'
expect 1 'no such item' -- recommend m.safetensors --item i999
expect 2 'leave one out' -- recommend m.safetensors --item i1 --user u1
expect 2 'or -o FILE' -- recommend m.safetensors
expect 2 '--top' -- recommend m.safetensors --user u1 --top 1001
cp all before
printf 'u1 i2\n' >bad && printf 'u1 i2 x y z z\n' >>bad
expect 1 'bad:2:' -- recommend m.safetensors --exclude bad -o all
cmp -s all before || fail 'the old output is gone'
libsvm data 50
expect 0 -- train linear --train data -o l.safetensors --quiet --epochs 1
expect 1 'train mf or bpr' -- recommend l.safetensors --user 1

awk -F'\t' '$3 > 3' train >liked
awk -F'\t' '$3 > 3' test >liked.test
expect 0 -- train bpr --train liked --holdout 0.1 --holdout-by last --k 4 -o b.safetensors --json --quiet
for key in precision recall ndcg map auc; do has out "\"$key\":"; done
expect 0 -- train bpr --train liked --k 4 --draw popular --negatives 3 --quiet
expect 0 -- train bpr --train liked --k 4 --loss logistic --positive 2 --quiet
expect 0 -- eval b.safetensors --data liked.test --exclude train --top 5
has out 'precision@5'
expect 2 'rank' -- eval m.safetensors --data test --exclude train
cut -f1,2 liked >pairs
expect 0 -- train bpr --train pairs --k 4 --quiet
expect 1 'bpr' -- train mf --train pairs --k 4

# refused, with file, line and what to do
bad() { printf "$1" >r; expect 1 "$2" -- train mf --train r; }
bad '1\t2\t3\n4\t5\n' 'r:2: 2 fields with TAB between'
bad '1\t2\t3\n4\t5\tgood\n' 'r:2: the rating "good" is not a number'
bad '1\t2\t3\n4,5,6\n' 'r:2: 1 field with TAB between'
bad '1 2 3\n\n2 2 inf\n' 'r:3: the rating inf'
bad '' 'has no ratings'
printf '1\t2\t3\n4294967296\t18446744073709551616\t5\n1\t2\t3\n1\t2\t4\n' >r
expect 0 -- train mf --train r --k 2
has err '4 of 2 users and 2 items'
printf '1\t2\t3\n1\t3\t5\n1\t4\t1\n' >r # one user
expect 0 -- train mf --train r --k 2 --workers 8 --quiet
printf '1\t2\t3\n2\t2\t3\n' >r # one item
expect 1 'one item' -- train bpr --train r
expect 2 'leave one out' -- train mf --train train --valid test --holdout 0.1
expect 2 'needs --holdout' -- train mf --train train --holdout-by time
expect 2 'mf and bpr' -- train linear --train data --holdout 0.1
expect 2 'above 0 and below 1' -- train mf --train train --holdout 1
cut -f1-3 train >timeless
expect 1 'has no time' -- train mf --train timeless --holdout 0.1 --holdout-by time
expect 1 'mf or bpr' -- train linear --train train --format ratings
expect 1 'ratings' -- train mf --train data --format libsvm
expect 2 'k=0' -- train mf --train train --k 0

expect 0 'best RMSE' -- synth ratings -o s.tsv --rows 30000 --users 100 --items 50 --noise 0.5 --k 2
cp err floor
expect 0 -- synth ratings -o t.tsv --rows 5000 --first 30000 --users 100 --items 50 --noise 0.5 --k 2 --quiet
expect 0 -- train mf --train s.tsv --valid t.tsv --k 4 --json --quiet
holds "$(number out rmse)" '<' 0.6
holds "$(number out rmse)" '>' 0.48
expect 2 'are for ratings' -- synth digits -o d --users 3
expect 2 'whole number' -- synth ratings -o d --k 0
done_testing
