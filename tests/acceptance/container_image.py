"""The image of deploy/Dockerfile, built by buildah without a container engine, and its commands run in it.

Its base is made of this machine's Python and the libraries that it needs: what a registry would give is
not at hand. Commands run as the image says, as its user, with nothing writable but the data folder and /tmp.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.acceptance.pages import ROOT
from tests.acceptance.running_mirror import clean_environment
from tests.requirements import is_root, skip

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
UNREACHABLE = re.compile(r"Retrying|ConnectionError|Connection refused|timed out|name resolution", re.IGNORECASE)
# Everything of the image is read-only but what a container would have as volumes.
ENTER = """
set -eu
mount --bind -o ro "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$data" "$root/var/lib/distfile-mirror"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero urandom random; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t proc proc "$root/proc"
cd "$root"
exec env -i "$@"
"""


def run(*command, **options):
    return subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )


def make_base(folder):
    """Lay out a root with this machine's Python in /usr/local, a shell, and what they load."""
    busybox = shutil.which("busybox") or skip("busybox is not installed (Debian: busybox-static)")
    for name in (
        "bin",
        "dev",
        "etc/ssl/certs",
        "proc",
        "tmp",
        "usr/bin",
        "usr/lib",
        "usr/local/bin",
        "usr/local/lib",
        "var/lib",
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, folder / "bin" / "busybox")
    for name in ("sh", "mkdir", "chown", "chmod", "cat", "sleep"):
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "tmp").chmod(0o1777)
    (folder / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc" / "group").write_text("root:x:0:\n")
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, folder / "etc" / "ssl" / "certs")
    python = Path(os.path.realpath(sys.executable))
    library = folder / "usr" / "local" / "lib" / VERSION
    ignored = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "tkinter"
    )
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=ignored, symlinks=False)
    shutil.copy(python, folder / "usr" / "local" / "bin" / "python3")
    # Those that the packages need, too, which will be installed.
    copy_libraries(folder, [python, *library.rglob("*.so"), *Path(sysconfig.get_path("purelib")).rglob("*.so")])
    return folder


def copy_libraries(folder, programs):
    """Copy into the root ``folder`` what the loader finds for programs and libraries."""
    told = run("ldd", *programs).stdout
    for path in {Path(found) for found in re.findall(r"(/\S+) \(0x", told)}:
        if path.is_relative_to(sysconfig.get_path("purelib")):
            continue
        in_its_place = path.parent in (Path("/lib64"), Path("/lib"))
        target = folder / path.relative_to("/") if in_its_place else folder / "usr" / "lib" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


class Builder:
    """buildah with a store of its own below ``folder``."""

    def __init__(self, folder):
        if not is_root():
            skip("images are built by root only")
        buildah = shutil.which("buildah") or skip("buildah is not installed (Debian: buildah)")
        self._folder = folder
        self._buildah = [buildah, "--root", folder / "store", "--runroot", folder / "run", "--storage-driver", "vfs"]

    def run(self, *arguments):
        """Run buildah; return what it printed."""
        done = run(*self._buildah, *arguments, timeout=400, cwd=ROOT)
        if done.returncode and UNREACHABLE.search(done.stdout + done.stderr):
            skip("the package index cannot be reached")
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout.strip()

    def import_base(self, name):
        """Make the base image."""
        root = make_base(self._folder / "base")
        container = self.run("from", "scratch")
        self.run("copy", "--quiet", container, root, "/")
        self.run("commit", "--quiet", "--disable-compression", container, name)
        self.run("rm", container)

    def build(self, base, name):
        """Build the image; return its configuration."""
        pip_conf, volumes = self._pip_settings()
        self.run(
            *("bud", "--isolation", "chroot", "--network", "host", "--layers=false", "--build-arg", f"BASE={base}"),
            *("--secret", f"id=pip.conf,src={pip_conf}", *volumes),
            *("--ignorefile", "deploy/Dockerfile.dockerignore", "--file", "deploy/Dockerfile", "--tag", name, "."),
        )
        return json.loads(self.run("inspect", "--type", "image", name))["OCIv1"]["config"]

    def mount(self, name):
        """Return the path of the image's files."""
        return Path(self.run("mount", self.run("from", "--pull-never", name)))

    def remove(self):
        """Forget all containers and images: nothing stays mounted, and the disk is given back."""
        self.run("umount", "--all")
        self.run("rm", "--all")
        shutil.rmtree(self._folder)

    def _pip_settings(self):
        """Return a file with what pip is told here, and the flags that show it the folders that are named there."""
        told = run(sys.executable, "-m", "pip", "config", "list").stdout
        found = dict(re.findall(r"^(?::env:|global)\.([\w-]+)='(.*)'$", told, re.MULTILINE))
        found.pop("constraint", None)  # hashes say more
        path = self._folder / "pip.conf"
        lines = ["[global]", *(f"{name} = {value}" for name, value in found.items())]
        # Nobody waits for its start here.
        path.write_text("\n".join([*lines, "[install]", "no-compile = true", ""]))
        folders = {
            Path("/", *Path(item).parts[1:3]) for item in re.findall(r"(?<![\w.])/[\w./-]+", " ".join(found.values()))
        }
        folders = {folder for folder in folders if folder.is_dir() and folder != CERTIFICATES.parent.parent}
        return path, [flag for folder in sorted(folders) for flag in ("--volume", f"{folder}:{folder}:ro")]


def start(root, config, data, *arguments, **options):
    """Start the image's entry point as process 1 of its own; return the process around it."""
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    enter = ["setpriv", "--no-new-privs", "bash", "-c", ENTER, "enter"]
    chroot = [shutil.which("chroot"), "--userspec", config["User"], "--groups=", "."]
    return subprocess.Popen(
        [*apart, *enter, *config["Env"], *chroot, *config["Entrypoint"], *map(str, arguments)],
        env=clean_environment(root=str(root), data=str(data)),
        stdin=subprocess.DEVNULL,
        **options,
    )
