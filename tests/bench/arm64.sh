#!/usr/bin/env bash
# An arm64 Python with LiteRT under qemu-user, in a folder of its own; nothing is installed on this machine.
#
#     bash tests/bench/arm64.sh FOLDER         then   FOLDER/python3 program.py
#     CNNZOO_ARM64=FOLDER pytest tests/bench/test_arm64.py
#
# Needs a Debian 12 or newer with apt, `apt-get update` done, and pip. Some 210 MB; a second call finds all there.
# Its times mean nothing: it is for outputs, operator lists and delegate partitions.
set -euo pipefail
folder=$(mkdir -p "${1:?name a folder: bash tests/bench/arm64.sh FOLDER}" && cd "$1" && pwd)
pip="${PIP:-python3 -m pip}"
root=$folder/root host=$folder/host
[ -e "$folder/ready" ] && { echo "$folder/python3 is there"; exit 0; }
rm -rf "$root" "$host"
mkdir -p "$host" "$folder/debs"

cd "$folder/debs"
apt-get download -q qemu-user-static mmdebstrap
dpkg-deb --fsys-tarfile qemu-user-static*.deb | tar x -C "$host" ./usr/bin/qemu-aarch64-static  # 13 of 370 MB
dpkg-deb -x mmdebstrap*.deb "$host"

mode=root
[ "$(id -u)" = 0 ] || mode=unshare
"$host/usr/bin/mmdebstrap" --quiet --mode=$mode --variant=extract --architectures=arm64 \
  --include=python3.11-minimal,libpython3.11-stdlib,libstdc++6,libgcc-s1 bookworm "$root"

$pip install -q --disable-pip-version-check --no-deps --target "$root/site" \
  --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 \
  --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --only-binary=:all: \
  ai-edge-litert==2.3.0 numpy==2.4.6 backports.strenum flatbuffers tqdm typing-extensions protobuf ml_dtypes

# LiteRT looks for the processor's features in /proc/cpuinfo: at an x86 host's it crashes. `-L` puts this in its place.
mkdir -p "$root/proc"
for core in 0 1; do
  printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' $core
  printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
done > "$root/proc/cpuinfo"

# `-0` makes this program sys.executable, since the kernel cannot start the arm64 one in it on its own.
# The processor must be named: qemu's default one has SME, and int8 results are then wrong without a word.
cat > "$folder/python3" <<PROGRAM
#!/bin/sh
export PYTHONHOME=$root/usr PYTHONPATH=\$PYTHONPATH:$root/site
exec $host/usr/bin/qemu-aarch64-static -cpu cortex-a72 -0 $folder/python3 -L $root $root/usr/bin/python3.11 "\$@"
PROGRAM
chmod +x "$folder/python3"

cd "$folder" && rm -rf debs
"$folder/python3" -c 'import platform, ai_edge_litert.interpreter; assert platform.machine() == "aarch64"'
touch "$folder/ready"
echo "$folder/python3 is ready"
