//! Each agent sandboxes itself: the kernel refuses what an agent does not need.
//!
//! The agents are those of real runs. The test takes each over with ptrace (see `Possessed`) and makes it try
//! forbidden calls. The run then continues and must succeed.

//! Registers have other names on other architectures: this is for x86-64.
#![cfg(target_arch = "x86_64")]

use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use rustix::process::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use septet_tests::content::noise;
use septet_tests::fault::{Site, notes};
use septet_tests::s3::Seaweed;
use septet_tests::{Possessed, Process, Running, Scratch, Septet, assert_bytes, septet};

const MIB: usize = 1 << 20;
const SECRET: &str = "nobody-else-may-see-this";

/// The files that an agent may open, and whether it may connect to servers.
#[derive(Debug, Clone, Copy, Default)]
struct May<'a> {
    read: Option<&'a Path>,
    write: Option<&'a Path>,
    network: bool,
}

/// Stops all agents of a run as they start.
fn hold(run: &mut Running, agents: &[&str]) -> Vec<Process> {
    let held = agents.iter().map(|name| {
        let agent = run.agent(name).unwrap_or_else(|| panic!("the run ended without {name}"));
        agent.signal(Signal::STOP);
        agent
    });
    held.collect()
}

/// Lets one agent after the other continue until it is sandboxed and idle, because the next agent is stopped, and
/// passes it to `look`. Then all continue. The master is held while `look` checks the last agent.
fn one_by_one(run: &mut Running, agents: &[&str], mut look: impl FnMut(&str, &Process)) {
    let held = hold(run, agents);
    for (number, (name, agent)) in agents.iter().zip(&held).enumerate() {
        if number + 1 == held.len() {
            // Not before it has sent the job.
            run.wait_until(|_| waits(&held[0]).then_some(())).expect("a master that waits for answers");
            held[0].signal(Signal::STOP);
        }
        agent.signal(Signal::CONT);
        run.wait_until(|_| is_locked_in(agent).then_some(())).unwrap_or_else(|| panic!("the run ended before {name}"));
        look(name, agent);
    }
    held[0].signal(Signal::CONT);
}

fn status(agent: &Process, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", agent.pid)).expect("a live agent")
}

fn is_locked_in(agent: &Process) -> bool {
    status(agent, "status").contains("Seccomp:\t2")
}

/// Whether its first thread waits for a message.
fn waits(agent: &Process) -> bool {
    status(agent, "syscall").starts_with(&format!("{} ", libc::SYS_ppoll))
}

/// Whether an error says that it is forbidden.
fn is_refused<T>(result: Result<T, Errno>) -> bool {
    matches!(result, Err(Errno::ENOSYS | Errno::EACCES | Errno::EPERM))
}

/// Asserts the kernel's status of the process, and the results of forbidden calls.
fn assert_locked_in(name: &str, agent: &Process, may: May<'_>, elsewhere: &[&Path]) {
    let said = status(agent, "status");
    assert!(said.contains("NoNewPrivs:\t1"), "{name}: {said}");
    let limits = status(agent, "limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{name}");
    let environment = status(agent, "environ");
    assert_eq!(environment.contains(SECRET), may.network, "{name} and the credentials");

    let taken = Possessed::take(agent.pid);
    let own = i64::from(agent.pid);
    assert_eq!(taken.call(libc::SYS_getpid, [0; 5]), Ok(own), "{name}: what is asked must be what is answered");
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    for path in elsewhere.iter().chain(&[Path::new("/etc/passwd")]) {
        for flags in [libc::O_RDONLY, libc::O_WRONLY] {
            assert!(is_refused(taken.open(&text(path), flags)), "{name} opens {}", path.display());
        }
    }
    for path in ["/dev/shm/not-allowed", "/tmp/not-allowed"] {
        assert!(is_refused(taken.open(path, libc::O_WRONLY | libc::O_CREAT)), "{name} makes {path}");
    }
    if let Some(path) = may.read {
        assert_eq!(taken.open(&text(path), libc::O_RDONLY), Ok(()), "{name} is to read {}", path.display());
        let written = taken.open(&text(path), libc::O_WRONLY);
        assert_eq!(written.is_ok(), may.write == Some(path), "{name} and writing {}: {written:?}", path.display());
    }
    assert_eq!(taken.socket(libc::AF_INET).is_ok(), may.network, "{name} and the network");
    assert!(is_refused(taken.socket(libc::AF_PACKET)), "{name} listens to others");
    assert_does_nothing_else(name, &taken);
}

fn assert_does_nothing_else(name: &str, taken: &Possessed) {
    let here = i64::from(libc::AT_FDCWD).cast_unsigned();
    let child = u64::from(libc::SIGCHLD.unsigned_abs());
    let parent = u64::try_from(taken.call(libc::SYS_getppid, [0; 5]).expect("a parent")).expect("a process id");
    for (what, result) in [
        ("starts a program", taken.call_with(libc::SYS_execve, [0; 5], 0, "/bin/true")),
        ("starts a process", taken.call(libc::SYS_clone, [child, 0, 0, 0, 0])),
        ("starts a process in another way", taken.call(libc::SYS_vfork, [0; 5])),
        ("debugs its supervisor", taken.call(libc::SYS_ptrace, [16, parent, 0, 0, 0])),
        ("reads another's memory", taken.call(libc::SYS_process_vm_readv, [parent, 0, 0, 0, 0])),
        ("ends its supervisor", taken.call(libc::SYS_kill, [parent, 0, 0, 0, 0])),
        ("listens", taken.call(libc::SYS_listen, [0, 1, 0, 0, 0])),
        ("mounts", taken.call(libc::SYS_fsopen, [0; 5])),
        ("makes a directory", taken.call_with(libc::SYS_mkdirat, [here, 0, 0o700, 0, 0], 1, "/dev/shm/not-allowed")),
        ("removes a file", taken.call_with(libc::SYS_unlinkat, [here, 0, 0, 0, 0], 1, "/etc/passwd")),
        ("loads a program into the kernel", taken.call(libc::SYS_bpf, [0; 5])),
        ("uses io_uring", taken.call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0])),
    ] {
        assert!(is_refused(result), "{name} {what}: {result:?}");
    }
}

fn with_credentials(septet: Septet) -> Septet {
    septet.env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_ACCESS_KEY_ID", "key")
}

const BACKUP: [&str; 7] = ["master", "reader", "checksum", "diff", "compressor", "datawriter", "metawriter"];
const RESTORE: [&str; 4] = ["master", "backupreader", "decompressor", "volumewriter"];

#[test]
fn no_agent_of_a_backup_to_a_directory_can_step_out_of_line() {
    let site = Site::new(16 * MIB);
    let object = site.repo.path().join("septet.json");
    let nothing = May::default();
    let mut run = with_credentials(septet(site.backup(&["--repo", site.repo.path().to_str().unwrap()]))).spawn();
    one_by_one(&mut run, &BACKUP, |name, agent| match name {
        "reader" => {
            assert_locked_in(name, agent, May { read: Some(&site.source), ..nothing }, &[&object]);
        }
        "datawriter" | "metawriter" => {
            let may = May { read: Some(&object), write: Some(&object), ..nothing };
            assert_locked_in(name, agent, may, &[&site.source]);
        }
        _ => assert_locked_in(name, agent, nothing, &[&object, &site.source]),
    });
    run.wait().exits(0);
    site.settle();
}

#[test]
fn no_agent_of_a_restore_from_a_directory_can_step_out_of_line() {
    let site = Site::new(16 * MIB);
    let object = site.repo.path().join("septet.json");
    let target = site.scratch.file("target", &noise(9, MIB));
    let nothing = May::default();
    let mut run = with_credentials(site.repo.restore_command("vol/earlier", &target).arg("--overwrite")).spawn();
    one_by_one(&mut run, &RESTORE, |name, agent| match name {
        "backupreader" => assert_locked_in(name, agent, May { read: Some(&object), ..nothing }, &[&target]),
        "volumewriter" => {
            let may = May { read: Some(&target), write: Some(&target), ..nothing };
            assert_locked_in(name, agent, may, &[&object, &site.source]);
        }
        _ => assert_locked_in(name, agent, nothing, &[&object, &target]),
    });
    run.wait().exits(0);
    assert_bytes(&target, &site.earlier);
}

#[test]
fn no_agent_of_a_deletion_can_step_out_of_line() {
    let site = Site::new(MIB);
    let object = site.repo.path().join("septet.json");
    let mut run = with_credentials(site.repo.septet(["delete", "vol/earlier"])).spawn();
    one_by_one(&mut run, &["master", "s3worker"], |name, agent| match name {
        "s3worker" => {
            let may = May { read: Some(&object), write: Some(&object), network: false };
            assert_locked_in(name, agent, may, &[&site.source]);
        }
        _ => assert_locked_in(name, agent, May::default(), &[&object, &site.source]),
    });
    run.wait().exits(0);
}

#[test]
fn only_the_agents_that_store_have_network_and_credentials() {
    let seaweed = Seaweed::shared();
    let scratch = Scratch::in_memory();
    let content = noise(1, 16 * MIB);
    let source = scratch.file("source", &content);
    let repo = seaweed.repo("?part-size=5");
    let named = |septet: Septet| septet.env("A_SECRET", SECRET);
    let look = |reads: &'static str, path: &Path, name: &str, agent: &Process| {
        let stores = ["datawriter", "metawriter", "backupreader"].contains(&name);
        let read = if name == reads { Some(path) } else { None };
        let write = read.filter(|_| name == "volumewriter");
        let elsewhere: &[&Path] = if read.is_some() { &[] } else { &[path] };
        assert_locked_in(name, agent, May { read, write, network: stores }, elsewhere);
    };
    let mut run = named(repo.backup_command("b1", &source, &[])).spawn();
    one_by_one(&mut run, &BACKUP, |name, agent| look("reader", &source, name, agent));
    run.wait().exits(0);
    let target = scratch.file("target", &noise(9, MIB));
    let mut run = named(repo.septet(&["restore", "--overwrite", "vol/b1"]).arg(&target)).spawn();
    one_by_one(&mut run, &RESTORE, |name, agent| look("volumewriter", &target, name, agent));
    run.wait().exits(0);
    assert_bytes(&target, &content);
}

/// Runs `septet` so that the kernel appears to have no Landlock.
fn without_landlock(septet: Septet) -> septet_tests::Outcome {
    std::thread::spawn(move || {
        let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into_iter().collect();
        let machine = std::env::consts::ARCH.try_into().expect("a known machine");
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, machine).expect("a filter");
        let program: BpfProgram = filter.try_into().expect("a program");
        // It applies to this thread and its children.
        apply_filter(&program).expect("a filter");
        septet.run()
    })
    .join()
    .expect("a run")
}

#[test]
fn a_kernel_without_landlock_is_named_once_and_refused_only_if_it_must_not_be() {
    let site = Site::new(MIB);
    let said = "this kernel has no Landlock";
    let backup = || site.repo.septet(site.backup(&[]));
    let outcome = without_landlock(backup()).exits(0);
    assert_eq!(notes(&outcome).matches(said).count(), 1, "{outcome:?}");
    let refused = without_landlock(backup().arg("--require-sandbox")).exits(1);
    assert!(refused.stderr.contains(said) || refused.stdout.contains(said), "{refused:?}");
    let outcome = without_landlock(backup().arg("--no-sandbox")).exits(0);
    assert!(!notes(&outcome).contains(said), "{outcome:?}");
    let outcome = backup().arg("--require-sandbox").ok();
    assert!(!notes(&outcome).contains("sandboxed"), "{outcome:?}");
    site.settle();
}

#[test]
fn a_profile_that_starts_a_program_is_named_and_refused_if_a_sandbox_is_required() {
    let scratch = Scratch::in_memory();
    let source = scratch.file("source", &noise(1, MIB));
    let seaweed = Seaweed::shared();
    let keys = r#"{"Version":1,"AccessKeyId":"owner-key","SecretAccessKey":"owner-secret"}"#;
    let keys = scratch.file("keys", keys.as_bytes());
    let profile = format!("[default]\ncredential_process = cat {}\n", keys.display());
    let profile = scratch.file("profile", profile.as_bytes());
    let backup = || {
        septet(["backup", "--json", "--volume", "vol"])
            .arg(&source)
            .arg("--repo")
            .arg(format!("s3://{}", seaweed.bucket()))
            .env("AWS_ENDPOINT_URL", &seaweed.server().endpoint)
            .env("AWS_ACCESS_KEY_ID", "")
            .env("AWS_SECRET_ACCESS_KEY", "")
            .env("AWS_CONFIG_FILE", &profile)
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    };
    let outcome = backup().ok();
    assert_eq!(notes(&outcome).matches("credential_process").count(), 1, "{outcome:?}");
    let refused = backup().arg("--require-sandbox").run().exits(1);
    assert!(format!("{refused:?}").contains("credential_process"), "{refused:?}");
}
