//! Shared memory without huge pages (these runs lack the privilege for them), and a `/dev/shm` that is full, too
//! small, read-only, not accessible or missing: one line that says how to fix it.

use septet_tests::fault::{Site, assert_fails, in_namespace};

const MIB: usize = 1 << 20;

/// The run itself, without the privilege for huge pages.
const RUN: &str = "exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\"";

/// Replaces `/dev/shm` with one of this many MiB. The repository stays accessible.
fn small(mebibytes: u32) -> String {
    format!("mount -t tmpfs -o size={mebibytes}m tmpfs /dev/shm; {RUN}")
}

/// A site outside `/dev/shm`.
struct Elsewhere {
    disk: septet_tests::Scratch,
    repo: septet_tests::Repo,
    source: String,
    content: Vec<u8>,
}

impl Elsewhere {
    fn new() -> Self {
        let disk = septet_tests::Scratch::on_disk();
        let (repo, content) = (disk.repo(), septet_tests::content::noise(1, MIB));
        let source = disk.file("source", &content);
        repo.backup_as("earlier", &source, &[]);
        Self { source: source.to_str().expect("UTF-8").to_owned(), disk, repo, content }
    }

    /// The arguments of every command that needs shared memory.
    fn commands(&self) -> Vec<Vec<String>> {
        let target = self.disk.path("target");
        let target = target.to_str().expect("UTF-8");
        let commands: [&[&str]; 4] = [
            &["backup", &self.source, "--volume", "vol", "--full"],
            &["restore", "vol/earlier", target],
            &["verify", "vol/earlier"],
            &["smoke"],
        ];
        let repo = ["--repo", self.repo.path().to_str().expect("UTF-8")];
        commands.iter().map(|words| words.iter().chain(&repo).map(|&word| word.to_owned()).collect()).collect()
    }

    fn assert_each_fails(&self, script: &str, why: &str) {
        let before = self.repo.objects();
        for args in self.commands() {
            assert_fails(&in_namespace(script, &args), 1, why);
        }
        assert_eq!((self.repo.objects(), self.repo.empty_directories()), (before, Vec::new()));
        assert!(!self.disk.path("target").exists() && !self.disk.path(".target.septet-partial").exists());
        self.repo.assert_restores("vol/earlier", &self.content);
    }
}

#[test]
fn too_small_for_any_pool() {
    Elsewhere::new().assert_each_fails(
        &small(1),
        "no space in /dev/shm for 32 MiB: enlarge it (mount -o remount,size=512M /dev/shm)",
    );
}

#[test]
fn too_small_for_the_second_pool() {
    Elsewhere::new().assert_each_fails(&small(40), "no space in /dev/shm for");
}

#[test]
fn full_of_something_else() {
    let fill = "mount -t tmpfs -o size=64m tmpfs /dev/shm; head -c 64M /dev/zero 2>/dev/null >/dev/shm/full || true";
    Elsewhere::new().assert_each_fails(&format!("{fill}; {RUN}"), "no space in /dev/shm for 32 MiB");
}

#[test]
fn read_only_not_ours_or_missing() {
    let site = Elsewhere::new();
    site.assert_each_fails(&format!("mount -t tmpfs -o ro tmpfs /dev/shm; {RUN}"), "/dev/shm is read-only");
    let not_ours =
        "mount -t tmpfs -o mode=0555 tmpfs /dev/shm; exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    site.assert_each_fails(not_ours, "permission denied on /dev/shm");
    let missing = "mount -t tmpfs tmpfs /mnt; mknod /mnt/null c 1 3; mount --move /mnt /dev 2>/dev/null || mount --bind /mnt /dev";
    site.assert_each_fails(&format!("{missing}; {RUN}"), "there is no /dev/shm: mount a tmpfs there");
}

#[test]
fn just_enough_suffices() {
    let site = Elsewhere::new();
    for args in site.commands() {
        let outcome = in_namespace(&small(96), &args);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
    }
}

#[test]
fn with_huge_pages_a_small_one_suffices() {
    let site = Elsewhere::new();
    for args in site.commands() {
        let outcome = in_namespace("mount -t tmpfs -o size=1m tmpfs /dev/shm; exec \"$@\"", &args);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
    }
}

#[test]
fn what_the_dead_have_left_is_removed_and_told() {
    let site = Site::new(MIB);
    // No process has this number: the kernel assigns none above 4194304.
    let left = std::path::Path::new("/dev/shm/septet_reader_4194999");
    std::fs::write(left, b"x").expect("a leftover");
    let next = site.repo.septet(site.backup(&[])).ok();
    assert!(!left.exists());
    // A test beside this one may have removed it first.
    let said = septet_tests::fault::notes(&next);
    assert!(said.is_empty() || said.contains("removed 1 shared-memory object"), "{said}");
    site.settle();
    site.assert_earlier_restores();
}
