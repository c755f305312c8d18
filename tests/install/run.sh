#!/usr/bin/env bash
# run.sh CMAKE SOURCE BUILD CC -- installs the build into a folder and uses it from outside: by
# find_package, by pkg-config, and as the installed program; then looks at what the library exports.
set -euo pipefail
cmake=$1 source=$2 build=$3 cc=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix

"$cmake" --install "$build" --prefix "$prefix" >"$folder/install.log"
libs=$(dirname "$(find "$prefix" -name libasgd.so)")

echo "-- find_package"
"$cmake" -G Ninja -S "$source/tests/install" -B "$folder/outside" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" >"$folder/configure.log" || { cat "$folder/configure.log"; exit 1; }
"$cmake" --build "$folder/outside" >"$folder/build.log" || { cat "$folder/build.log"; exit 1; }
"$folder/outside/with_shared"
"$folder/outside/with_static"

echo "-- pkg-config"
if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$libs/pkgconfig
    # shellcheck disable=SC2046 # words are wanted
    "$cc" -std=c17 "$source/tests/install/main.c" $(pkg-config --cflags --libs asgd) -lm \
        -o "$folder/by_pkgconfig"
    LD_LIBRARY_PATH=$libs "$folder/by_pkgconfig"
    "$cc" -std=c17 "$source/tests/install/main.c" $(pkg-config --cflags asgd) "$libs/libasgd.a" \
        $(pkg-config --static --libs-only-l asgd | sed 's/-lasgd//') -o "$folder/by_pkgconfig_static"
    "$folder/by_pkgconfig_static"
else
    echo "no pkg-config here: left out"
fi

echo "-- installed files"
"$prefix/bin/asgd" --version
for file in share/man/man1/asgd.1 share/bash-completion/completions/asgd \
    share/zsh/site-functions/_asgd; do
    [[ -s $prefix/$file ]] || { echo "$file was not installed"; exit 1; }
done

echo "-- exported names"
if foreign=$(nm -D --defined-only "$libs/libasgd.so" | awk '{ print $NF }' | grep -v '^asgd_'); then
    echo "libasgd.so exports names outside asgd_: $foreign"
    exit 1
fi
