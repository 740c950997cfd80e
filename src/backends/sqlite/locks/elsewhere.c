// Which files have locks that another system answers for: network file systems, and those of a
// process or of a host. What they make of locks of a description, beside those of a process, is
// theirs to say, and cannot be asked.

#ifdef __linux__
#include <sys/vfs.h>
#else
#include <sys/param.h>
#include <sys/mount.h>
#endif

__attribute__((visibility("hidden"))) int sagastore_is_elsewhere(const char *path) {
    struct statfs found;
    if (statfs(path, &found) != 0) return 0;
#ifdef __linux__
    switch ((unsigned long)found.f_type & 0xffffffffUL) {
    case 0x6969:     // NFS
    case 0x517b:     // SMB
    case 0xff534d42: // CIFS
    case 0xfe534d42: // SMB2
    case 0x564c:     // NCP
    case 0x73757245: // Coda
    case 0x5346414f: // AFS
    case 0x6b414653: // kAFS
    case 0x00c36400: // Ceph
    case 0x01021997: // 9P
    case 0x65735546: // FUSE
    case 0x0bd00bd0: // Lustre
    case 0x47504653: // GPFS
    case 0x01161970: // GFS2
    case 0x7461636f: // OCFS2
    case 0x786f4256: // VirtualBox' shared folders
        return 1;
    default:
        return 0;
    }
#else
    return (found.f_flags & MNT_LOCAL) == 0;
#endif
}
