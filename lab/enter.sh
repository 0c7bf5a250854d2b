#!/bin/sh
# Starts virtiofsd and QEMU, in namespaces that end with this process (lab/machine.py):
#   enter.sh TREE INITRAMFS JOB USER MOUNT… -- QEMU-ARGUMENT…
# TREE becomes the root of both. JOB is a second initramfs, appended to the first. MOUNT: mount points of the machine.
set -eu
tree=$1 initramfs=$2 job=$3 user=$4
shift 4

mount --bind "$tree" "$tree"
mount -t tmpfs -o mode=755,size=256m run "$tree/run"
mount -t proc proc "$tree/proc"  # of these namespaces
for device in null urandom; do
    mount --bind "/dev/$device" "$tree/dev/$device"
done
cat "$initramfs" "$job" >"$tree/run/initramfs"
while [ "$1" != -- ]; do
    # A mount that another one hides has no place here.
    if mount --bind "$1" "$tree/host$1" 2>/dev/null; then
        mount -o remount,bind,ro "$tree/host$1"
    fi
    shift
done
shift
mount -o remount,bind,ro "$tree"

# It can read every file, as the emulated host's root may, and nothing else. Mounts are told as directories: an overlay
# cannot enter those of its lower layer.
setpriv --no-new-privs --bounding-set=-all,+dac_read_search,+setpcap,+sys_chroot --inh-caps=-all --ambient-caps=-all \
    chroot "$tree" /usr/libexec/virtiofsd --socket-path=/run/host.sock --shared-dir=/host --readonly \
    --sandbox=none --cache=always --inode-file-handles=prefer --log-level=error --rlimit-nofile=0 \
    --no-announce-submounts \
    --modcaps=-chown:-dac_override:-fowner:-fsetid:-setgid:-setuid:-mknod:-setfcap:+dac_read_search &
tries=0
until [ -S "$tree/run/host.sock" ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || exit 1
    kill -0 $! || exit 1
    sleep 0.05
done
chmod 666 "$tree/run/host.sock"  # in this namespace only
exec prlimit --core=0 setpriv --no-new-privs \
    chroot --userspec="+$user:+$user" --groups= "$tree" /usr/bin/qemu-system-x86_64 "$@"
