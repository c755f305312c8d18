#!/bin/sh
# The manual page and the completion know every option, and the help of every command is whole.
here=$(cd "${0%/*}" && pwd) || exit 1
. "${0%/*}/lib.inc"
man=$here/../../man/asgd.1
for command in train eval predict recommend compare synth inspect; do
    expect 0 -- help --complete $command
    cut -f1 out >names
    [ -s names ] || fail "no options of $command"
    expect 0 -- $command --help
    while read -r name; do
        has out "$name"
        [ ! -f "$man" ] || grep -qF -e "-${name#--}" "$man" || fail "the manual page has no $name"
    done <names
done
[ "$(awk 'length($0) > 100 { n++ } END { print n + 0 }' out)" -eq 0 ] || fail 'help is too wide'
for model in linear softmax mlp fm ffm mf bpr; do expect 0 -- help $model; done

bash=$(command -v bash) || exit 77
cat >complete.bash <<'END'
source "$1"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _asgd; echo "${COMPREPLY[*]}"; }
try "$ASGD" tr
try "$ASGD" train --work
try "$ASGD" train mlp --mode s
try "$ASGD" train ff
try "$ASGD" train ffm --normalize ""
try "$ASGD" train ffm --target p
try "$ASGD" synth clicks --format lib
END
export ASGD
"$bash" complete.bash "$here/../../completions/asgd.bash" >out 2>err || fail 'completion'
[ "$(tr '\n' '|' <out)" = 'train|--workers|sync sequential|ffm||p1= p3= p5= precision=|libsvm libffm|' ] || fail 'completion differs'
done_testing
