//! Removes what killed runs left in `/dev/shm`.
//!
//! A name exists only between the two system calls that create and unlink it, so there is almost never anything to
//! remove. But leaked memory would stay until the machine restarts.

use std::path::Path;

use crate::message::PoolName;

const DIRECTORY: &str = "/dev/shm";
const PREFIX: &str = "septet_";

/// Removes the names of pools whose owners are dead. Returns how many there were.
pub fn sweep() -> usize {
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return 0 };
    entries
        .flatten()
        .filter(|entry| is_dead(&entry.file_name().to_string_lossy()) && std::fs::remove_file(entry.path()).is_ok())
        .count()
}

fn is_dead(name: &str) -> bool {
    let Some(Ok(pool)) = name.strip_prefix(PREFIX).map(str::parse::<PoolName>) else { return false };
    !Path::new("/proc").join(pool.pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pools_of_the_dead_are_swept() {
        let dead = Path::new(DIRECTORY).join("septet_reader_x");
        let dead_valid = Path::new(DIRECTORY).join("septet_reader_4194399");
        let alive = Path::new(DIRECTORY).join(format!("septet_reader_{}", std::process::id()));
        for path in [&dead, &dead_valid, &alive] {
            std::fs::write(path, b"x").unwrap();
        }
        sweep();
        assert!(dead.exists(), "not a pool's name: not ours to remove");
        assert!(!dead_valid.exists());
        assert!(alive.exists());
        for path in [&dead, &alive] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
