#!/bin/sh
# Unpack the packages of fonts.txt below a folder, without installing them: sh data/tiny/fetch_fonts.sh build/fonts
# Needs Debian 12's apt-get and dpkg, and pip. `train.py` checks the files' digest.
set -eu
list=$(dirname "$(readlink -f "$0")")/fonts.txt
mkdir -p "$1/deb" "$1/pypi" && cd "$1"
downloads=$(mktemp -d)
(cd "$downloads" && sed -n 's/^deb //p' "$list" | xargs apt-get download -q)
for package in "$downloads"/*.deb; do
    name=$(basename "$package")
    dpkg -x "$package" "deb/${name%%_*}"
done
sed -n 's/^pypi //p' "$list" | xargs python3 -m pip install -q --no-deps --target pypi
rm -r "$downloads"
