//! Makes a live process do system calls, as a debugger can. So tests can find out what an attacker could do who
//! controls the process.
//!
//! The process is stopped when it enters a system call of its own. That call is replaced by another, whose result is
//! read. Then the process makes its own call. So the program needs no support for this, and continues normally.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// How many bytes below the stack pointer strings are placed. The process's code does not use that memory.
const BELOW_STACK: u64 = 8192;
/// The length in bytes of the instruction that enters the kernel.
const SYSCALL_BYTES: u64 = 2;

/// A process under our control. When this value is dropped, the process continues.
#[derive(Debug)]
pub struct Possessed {
    pid: Pid,
    memory: File,
}

impl Possessed {
    /// Takes control of a process as soon as its first thread enters the kernel.
    pub fn take(pid: u32) -> Self {
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).expect("its memory");
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
        ptrace::attach(pid).unwrap_or_else(|errno| panic!("attaching to {pid}: {errno}"));
        waitpid(pid, None).expect("it stops");
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).expect("its options");
        let possessed = Self { pid, memory };
        possessed.to_next_stop();
        possessed
    }

    /// Makes a system call. Returns its result or its error.
    pub fn call(&self, number: c_long, arguments: [u64; 5]) -> Result<i64, Errno> {
        let own = ptrace::getregs(self.pid).expect("its registers");
        let [rdi, rsi, rdx, r10, r8] = arguments;
        let orig_rax = u64::try_from(number).expect("a number");
        ptrace::setregs(self.pid, user_regs_struct { orig_rax, rdi, rsi, rdx, r10, r8, ..own }).expect("a call");
        self.to_next_stop();
        let returned = ptrace::getregs(self.pid).expect("its registers").rax.cast_signed();
        // Moves the process back before its own call.
        let again = user_regs_struct { rip: own.rip - SYSCALL_BYTES, rax: own.orig_rax, ..own };
        ptrace::setregs(self.pid, again).expect("its own registers");
        self.to_next_stop();
        if returned < 0 { Err(Errno::from_raw(i32::try_from(-returned).expect("an error"))) } else { Ok(returned) }
    }

    /// The same with a path as argument number `at`.
    pub fn call_with(&self, number: c_long, mut arguments: [u64; 5], at: usize, path: &str) -> Result<i64, Errno> {
        let place = ptrace::getregs(self.pid).expect("its registers").rsp - BELOW_STACK;
        self.memory.write_all_at(format!("{path}\0").as_bytes(), place).expect("its stack");
        arguments[at] = place;
        self.call(number, arguments)
    }

    /// Opens a file and closes it again.
    pub fn open(&self, path: &str, flags: i32) -> Result<(), Errno> {
        let flags = u64::from(flags.unsigned_abs());
        let here = i64::from(libc::AT_FDCWD).cast_unsigned();
        let fd = self.call_with(libc::SYS_openat, [here, 0, flags, 0o600, 0], 1, path)?;
        self.call(libc::SYS_close, [fd.cast_unsigned(), 0, 0, 0, 0]).map(drop)
    }

    /// Makes a socket of the family and closes it again.
    pub fn socket(&self, family: i32) -> Result<(), Errno> {
        let stream = u64::from(libc::SOCK_STREAM.unsigned_abs());
        let fd = self.call(libc::SYS_socket, [u64::from(family.unsigned_abs()), stream, 0, 0, 0])?;
        self.call(libc::SYS_close, [fd.cast_unsigned(), 0, 0, 0, 0]).map(drop)
    }

    fn to_next_stop(&self) {
        loop {
            ptrace::syscall(self.pid, None).expect("it goes on");
            match waitpid(self.pid, None).expect("it stops") {
                WaitStatus::PtraceSyscall(_) => return,
                WaitStatus::Stopped(..) => {}
                ended => panic!("{} ended: {ended:?}", self.pid),
            }
        }
    }
}

impl Drop for Possessed {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.pid, None);
    }
}
