#!/usr/bin/env bash
# hosts.sh [RUNS [SEED]] -- several hosts on one machine, some of which are lost while they train.
#
# Hosts are network namespaces joined by a bridge, each with a host name and a /tmp of its own; asgd-mpirun starts two
# processes on each of three.  What happens in a run follows from its seed:
#
#   nothing                  kill: one or two processes, any of them       first: process 0
#   host: all processes of a host and its launcher daemon are killed       link: a host's link is taken down
#   first host, first link: the same to the host of process 0, where asgd-mpirun runs on a fourth one
#
# A run is right if asgd-mpirun ends by itself with exit code 0, at most GRACE seconds (and a little) after the result
# was written, and all examples are counted, and the quality is no worse than an undisturbed run's by more than 0.012.  Prints a line
# a run; exits with 1 if any was not right, with 77 where there is nothing to make hosts with.
#
#   ASGD=build/release/asgd  MPIRUN=scripts/asgd-mpirun  ASGD_MODULES=folder  TIMEOUT=200  GRACE=5
#   EXCHANGE=auto|tcp|mpi   KEEP=1: the outputs stay  BASE=0.95: accuracy of the undisturbed run, which then is not done
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
ASGD=$(realpath "${ASGD:-$here/build/release/asgd}")
MPIRUN=${MPIRUN:-$here/scripts/asgd-mpirun}
export ASGD_MODULES=${ASGD_MODULES:-$(dirname "$ASGD")}
TIMEOUT=${TIMEOUT:-200} GRACE=${GRACE:-5}
runs=${1:-14} seed0=${2:-1}
skip() { echo "skipped: $*"; exit 77; }
((EUID == 0)) || skip "only root can make network namespaces"
for tool in ip unshare mpirun; do command -v $tool >/dev/null || skip "no $tool here"; done
mpirun --version 2>&1 | grep -q "Open MPI" || skip "only Open MPI survives the loss of a host"

net=h$$
hosts=("${net}a" "${net}b" "${net}c" "${net}l") # processes run on the first three
folder=$(mktemp -d /var/tmp/asgd-hosts.XXXXXX) || exit 1 # not in /tmp, which is not the same on all hosts

kill_host() { # all that runs on it
    local pids
    mapfile -t pids < <(ip netns pids "$1" 2>/dev/null)
    ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null
}
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    local host
    trap '' INT TERM # a second one is not to leave half of it behind
    for host in "${hosts[@]}"; do
        kill_host "$host"
        ip netns del "$host" 2>/dev/null
        rm -rf "/etc/netns/$host"
    done
    rmdir /etc/netns 2>/dev/null
    ip link del "${net}br" 2>/dev/null
    if [[ -n ${KEEP-} ]]; then echo "outputs are in $folder"; else rm -rf "$folder"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

ip link add "${net}br" type bridge 2>/dev/null || skip "no bridges here"
ip link set "${net}br" up
for i in "${!hosts[@]}"; do
    host=${hosts[$i]}
    mkdir -p "/etc/netns/$host" && printf '127.0.0.1 localhost\n' >"/etc/netns/$host/hosts"
    for j in "${!hosts[@]}"; do echo "10.99.0.$((j + 1)) ${hosts[$j]}"; done >>"/etc/netns/$host/hosts"
    { ip netns add "$host" && ip link add "$host" type veth peer name eth0 netns "$host" &&
        ip link set "$host" master "${net}br" up && ip -n "$host" addr add "10.99.0.$((i + 1))/24" dev eth0 &&
        ip -n "$host" link set eth0 up && ip -n "$host" link set lo up; } || skip "no network namespaces here"
done

# What mpirun starts its daemons by, instead of ssh: HOST COMMAND...
cat >"$folder/on" <<'END_ON'
#!/bin/sh
host=$1
shift
exec ip netns exec "$host" unshare -um sh -c "mount -t tmpfs tmpfs /tmp && hostname $host && $*"
END_ON
chmod +x "$folder/on"

"$ASGD" synth digits -o "$folder/digits" --examples 12000 --test 2000 --quiet >/dev/null || exit 1

field() { # FILE KEY: the first number of that key
    grep -oE "\"$2\": *-?[0-9.e+-]+" "$1" | head -n 1 | sed -E 's/.*: *//'
}
draw() { # a number below N that depends on the run's seed and how many were drawn
    local hash
    hash=$(printf '%s %s' "$seed" $((drawn++)) | cksum)
    echo $((${hash%% *} % $1))
}
ranks() { # the processes of this run, "PID RANK HOST" a line
    local pid rank host
    for host in "${hosts[@]}"; do
        for pid in $(ip netns pids "$host"); do
            [[ $(cat "/proc/$pid/comm" 2>/dev/null) == asgd ]] || continue
            rank=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
            [[ -n $rank ]] && echo "$pid $rank $host"
        done
    done
}
launch() { # HOST: from there
    local on=("$folder/on" "$1" env "ASGD_MODULES=$ASGD_MODULES" "TMPDIR=/tmp")
    "${on[@]}" timeout -k 5 "$TIMEOUT" "$MPIRUN" --allow-run-as-root --grace "$GRACE" -O --mca -O plm_rsh_agent \
        -O "$folder/on" --host "${hosts[0]}:2,${hosts[1]}:2,${hosts[2]}:2" -n 6 "$ASGD" train mlp --train "$folder/digits" \
        --valid "$folder/digits" --epochs 60 --workers 1 --seed "$seed" --dead-after 3 --min-processes 3 --exchange "${EXCHANGE:-auto}" \
        --json --quiet -o "$folder/model.safetensors" >"$folder/$seed.json" 2>"$folder/$seed.err"
    code=$?
    ended=$(date +%s%N)
    echo "$code $ended" >"$folder/ended"
}

kinds=(nothing kill first host link "first host" "first link")
good=0 bad=0 base=${BASE-}
one_run() {
    local kind=${kinds[$((seed % ${#kinds[@]}))]} launcher=${hosts[3]} faults="" began=$SECONDS pid rank host i n=0 victims=()
    rm -f "$folder/model.safetensors" "$folder/ended"
    # where process 0's host is not to be lost, it is as often the launcher's
    [[ $kind == "first "* || $(draw 2) == 0 ]] || launcher=${hosts[0]}
    launch "$launcher" &
    local job=$!
    for ((i = 0; i < 300 && n < 6; i++)); do
        sleep 0.1
        mapfile -t victims < <(ranks)
        n=${#victims[@]}
    done
    sleep "$((1 + $(draw 2))).$(draw 10)"
    ((n == 6)) || kind="not begun"
    case $kind in
    kill)
        for ((i = $(draw 2); i >= 0; i--)); do
            n=$(draw ${#victims[@]})
            read -r pid rank host <<<"${victims[$n]}"
            kill -KILL "$pid" 2>/dev/null && faults+=" $rank"
            sleep "0.$(draw 10)"
        done
        ;;
    first)
        while read -r pid rank host; do
            ((rank)) || { kill -KILL "$pid" && faults+=" 0"; }
        done < <(printf '%s\n' "${victims[@]}")
        ;;
    *host | *link)
        host=${hosts[0]}
        [[ $kind == first* ]] || host=${hosts[$((1 + $(draw 2)))]}
        faults=" ${host#"$net"}"
        if [[ $kind == *host ]]; then kill_host "$host"; else ip link set "$host" down; fi
        ;;
    esac
    wait "$job"
    local code ended value examples total lost wrong="" written
    read -r code ended <"$folder/ended"
    local out=$folder/$seed.json
    value=$(field "$out" accuracy) examples=$(field "$out" examples) total=$(field "$out" positions)
    lost=$(field "$out" lost_examples)
    written=$(stat -c %.9Y "$out" | tr -d .)
    local after=$(((ended - written) / 1000000)) # ms
    [[ -n $base ]] || base=$value
    if ((code != 0)) || [[ -z $value ]]; then
        wrong="exit code $code"
    elif ((examples + ${lost:-0} < total)); then
        wrong="$examples of $total examples are accounted for"
    elif ((after > (GRACE + 8) * 1000)); then
        wrong="it ended $after ms after the result"
    elif [[ ! -s $folder/model.safetensors ]]; then
        wrong="no model was written"
    elif ! awk -v a="$value" -v b="$base" 'BEGIN { exit !(b - a <= 0.012) }'; then
        wrong="quality: $base undisturbed"
    fi
    printf 'seed %d, from %s, %s%s: code %d, %d s, ended %d ms after the result, accuracy %s, examples %s, lost %s: %s\n' \
        "$seed" "${launcher#"$net"}" "$kind" "$faults" "$code" $((SECONDS - began)) "$after" "$value" "$examples" \
        "$(field "$out" lost)" "${wrong:-right}"
    if [[ -z $wrong ]]; then good=$((good + 1)); else
        bad=$((bad + 1))
        sed 's/^/    /' "$folder/$seed.err" | tail -n 20
    fi
    for host in "${hosts[@]}"; do
        kill_host "$host"
        ip link set "$host" up
    done
}

seed=0 drawn=0
[[ -n $base ]] || one_run
for ((seed = seed0; seed < seed0 + runs; seed++)); do
    drawn=0
    one_run
done
echo "$good right, $bad wrong"
((bad == 0))
