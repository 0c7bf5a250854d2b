/* What the kernel starts in a guest whose root file system is shared (root = "shared" of its tier): puts an overlay over
it, so that the guest can write, then becomes the image's own init.

The kernel mounted the file of the host read-only. What the guest writes stays in its memory: the upper layer is a tmpfs,
which may take half of it. No other guest sees that, and it is in the memory of a snapshot. */
#include "process1.h"

#define MS_MOVE 8192

#define LAYERS "/mnt"
#define ROOT LAYERS "/root"

static void make(const char *path) {
    require(system_call(SYS_mkdir, (long)path, 0755, 0), path);
}

static void begin(long *stack) {
    require(mount("root", LAYERS, "tmpfs", 0, "mode=755"), "cannot mount " LAYERS " (tmpfs)");
    make(LAYERS "/upper");
    make(LAYERS "/work");
    make(ROOT);
    require(mount("root", ROOT, "overlay", 0, "lowerdir=/,upperdir=" LAYERS "/upper,workdir=" LAYERS "/work"),
            "cannot mount / (overlay)");
    require(mount("/dev", ROOT "/dev", "", MS_MOVE, ""), "cannot move /dev");
    require(system_call(SYS_chdir, (long)ROOT, 0, 0), "cannot enter " ROOT);
    /* Puts the old root over the new one, from where it is taken away (pivot_root(2)). The overlay keeps its layers. */
    require(system_call(SYS_pivot_root, (long)".", (long)".", 0), "cannot change the root");
    require(system_call(SYS_umount2, (long)".", MNT_DETACH, 0), "cannot unmount the old root");
    become("/sbin/init", stack);
}
