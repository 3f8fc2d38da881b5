#!/bin/bash
# Boots systemd as process 1 of a machine of its own, in namespaces: this machine's files under a layer that is thrown away.
# For tests: boot_machine.sh WORK PREPARE, where WORK is an empty folder and PREPARE a script that gets the new root's path.
# Run it by: unshare --pid --fork --mount --uts --ipc --cgroup --kill-child
set -euo pipefail
work=$1
prepare=$2

mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work"/{upper,work,root}
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
# Nothing of this machine's own services starts there.
rm -rf "$root"/etc/systemd/system/* "$root"/lib/systemd/system/*.wants "$root"/etc/systemd/system.conf.d
printf '[Unit]\nDescription=Up\n' > "$root/etc/systemd/system/default.target"

"$prepare" "$root"

mkdir "$root/old"
cd "$root"
pivot_root . old
umount --lazy /old
mount --make-rshared / # as systemd would by itself, were it told of no container: credentials come to services by it
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --show-status=no
