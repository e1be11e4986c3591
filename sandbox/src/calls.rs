//! seccomp: the system calls that a process may make.
//!
//! The filter is a list of allowed calls. Any other call fails with `ENOSYS`, as on a kernel that does not have the
//! call. So a library can fall back to another call, and a call that is missing in the list causes an error, not a
//! crash. For a library whose calls are unknown (Ceph's), the filter is a list of forbidden calls instead.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use crate::{Mode, Needs, SandboxError};

/// Memory, time, threads, and files that are already open.
const WORK: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fallocate,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// Calls with paths. Landlock decides which paths are allowed.
const FILES: &[c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_unlinkat,
];
#[cfg(target_arch = "x86_64")]
const FILES_OF_OLD: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const FILES_OF_OLD: &[c_long] = &[];

/// Connections to servers, and the calls that the C library needs to resolve their names. Not listening.
const NETWORK: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_getuid,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Calls that no library we use needs: they start programs, or affect other processes or the machine itself.
const NEVER: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    // Its flags are in memory, which a filter cannot read. The C library falls back to another call.
    libc::SYS_clone3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

const PROT_EXEC: u64 = libc::PROT_EXEC as u64;
const CLONE_THREAD: u64 = libc::CLONE_THREAD as u64;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Whether seccompiler supports this architecture.
pub(crate) fn supported() -> bool {
    machine().is_ok()
}

fn machine() -> Result<TargetArch, SandboxError> {
    std::env::consts::ARCH.try_into().map_err(SandboxError::new)
}

/// Forbids every system call that is not needed.
pub(crate) fn restrict(needs: &Needs, mode: Mode) -> Result<(), SandboxError> {
    if mode == Mode::BestEffort && (!supported() || rustix::thread::secure_computing_mode().is_err()) {
        return Ok(());
    }
    if needs.programs {
        return Ok(());
    }
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let (rules, otherwise, matching) = if needs.library {
        (refused()?, SeccompAction::Allow, absent)
    } else {
        (allowed(needs)?, absent, SeccompAction::Allow)
    };
    let filter = SeccompFilter::new(rules, otherwise, matching, machine()?).map_err(SandboxError::new)?;
    let program: BpfProgram = filter.try_into().map_err(SandboxError::new)?;
    apply_filter(&program).map_err(SandboxError::new)
}

/// The allowed calls, with the conditions on their arguments.
fn allowed(needs: &Needs) -> Result<Rules, SandboxError> {
    let mut rules: Rules = WORK.iter().map(|&call| (call, Vec::new())).collect();
    // The process may start a thread, but not another process.
    rules.insert(libc::SYS_clone, vec![rule(&[(0, SeccompCmpOp::MaskedEq(CLONE_THREAD), CLONE_THREAD)])?]);
    rules.insert(libc::SYS_prctl, vec![rule(&[(0, SeccompCmpOp::Eq, libc::PR_SET_NAME as u64)])?]);
    // abort() sends a signal to the process itself.
    rules.insert(libc::SYS_tgkill, vec![rule(&[(0, SeccompCmpOp::Eq, u64::from(std::process::id()))])?]);
    // A name resolver loads shared libraries. Without network, no new memory may be executable.
    let memory = if needs.network { vec![] } else { vec![rule(&[(2, SeccompCmpOp::MaskedEq(PROT_EXEC), 0)])?] };
    rules.extend([(libc::SYS_mmap, memory.clone()), (libc::SYS_mprotect, memory)]);
    if needs.files {
        rules.extend(FILES.iter().chain(FILES_OF_OLD).map(|&call| (call, Vec::new())));
    }
    if needs.network {
        rules.extend(NETWORK.iter().map(|&call| (call, Vec::new())));
        let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        let families = families.map(|family| rule(&[(0, SeccompCmpOp::Eq, u64::from(family.unsigned_abs()))]));
        rules.insert(libc::SYS_socket, families.into_iter().collect::<Result<_, _>>()?);
        let questions = [libc::FIONBIO, libc::FIONREAD].map(|what| rule(&[(1, SeccompCmpOp::Eq, what)]));
        rules.insert(libc::SYS_ioctl, questions.into_iter().collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

/// The calls that a contained library may not make.
fn refused() -> Result<Rules, SandboxError> {
    let mut rules: Rules = NEVER.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![rule(&[(0, SeccompCmpOp::MaskedEq(CLONE_THREAD), 0)])?]);
    Ok(rules)
}

/// Conditions that must all hold: the number of the argument, the comparison, and the value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, SandboxError> {
    let conditions = conditions
        .iter()
        .map(|(argument, operator, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect::<Result<_, _>>()
        .map_err(SandboxError::new)?;
    SeccompRule::new(conditions).map_err(SandboxError::new)
}
