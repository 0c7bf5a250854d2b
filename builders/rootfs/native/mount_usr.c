/* /sbin/init of an image with a compressed /usr: mounts it, then becomes the /usr/sbin/init that is in it.

/layers/usr.squashfs holds /usr, read-only, through a loop device that bypasses the page cache: what is cached are the
decompressed pages. An overlay puts the changes in /layers/changes over it. With a read-only root the overlay is
read-only too. Changes are used only with the /usr that they were made to: /layers/usr-id and the file of that name in
the compressed /usr are equal.

Without a usable /usr process 1 ends (process1.h). */
#include <linux/loop.h>

#include "process1.h"

#define MS_RDONLY 1
#define ST_RDONLY 1
#define MAX_ID_BYTES 128

#define FILE "/layers/usr.squashfs"
#define BASE "/layers/base"
#define ID "/lib/hornetos/usr-id"
#define CHANGES "/layers/changes"

/* statfs(2) */
struct statfs {
    long type, block_bytes, blocks, free, available, files, free_files, id, name_bytes, fragment_bytes, flags, spare[4];
};

static long attach(void) {
    struct loop_config config = {0};
    long file = system_call(SYS_open, (long)FILE, O_RDONLY, 0);
    require(file, "cannot open " FILE);
    long device = system_call(SYS_open, (long)"/dev/loop0", O_RDONLY, 0);
    require(device < 0 ? -ENODEV : device, "cannot open /dev/loop0");
    config.fd = (unsigned int)file;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    require(system_call(SYS_ioctl, device, LOOP_CONFIGURE, (long)&config), "cannot attach " FILE);
    system_call(SYS_close, file, 0, 0);
    return device;
}

static long read_id(const char *path, char *id) {
    long file = system_call(SYS_open, (long)path, O_RDONLY, 0);
    long got = file < 0 ? -1 : system_call(SYS_read, file, (long)id, MAX_ID_BYTES);
    if (file >= 0)
        system_call(SYS_close, file, 0, 0);
    return got;
}

static int changes_fit(void) {
    char of_changes[MAX_ID_BYTES], of_base[MAX_ID_BYTES];
    long size = read_id("/layers/usr-id", of_changes);
    if (size <= 0 || size != read_id(BASE ID, of_base))
        return 0;
    for (long i = 0; i < size; i++)
        if (of_changes[i] != of_base[i])
            return 0;
    return 1;
}

static void mount_usr(void) {
    struct statfs root = {0}, usr = {0};
    long device = attach();
    require(mount("/dev/loop0", BASE, "squashfs", MS_RDONLY, ""), "cannot mount " FILE " (squashfs)");
    /* From here on the mount keeps the loop device. */
    system_call(SYS_close, device, 0, 0);
    if (!changes_fit())
        give_up("cannot mount /usr: " CHANGES, " belongs to another " FILE);
    system_call(SYS_statfs, (long)"/", (long)&root, 0);
    const char *layers = root.flags & ST_RDONLY
                             ? "lowerdir=" CHANGES ":" BASE
                             : "lowerdir=" BASE ",upperdir=" CHANGES ",workdir=/layers/work";
    require(mount("usr", "/usr", "overlay", 0, layers), "cannot mount /usr (overlay)");
    system_call(SYS_umount2, (long)BASE, MNT_DETACH, 0);
    system_call(SYS_statfs, (long)"/usr", (long)&usr, 0);
    if (!(root.flags & ST_RDONLY) && ((usr.flags & ST_RDONLY) || root.available == 0))
        say("/usr cannot be changed", ": no room in /layers");
}

static void begin(long *stack) {
    mount_usr();
    become("/usr/sbin/init", stack);
}
