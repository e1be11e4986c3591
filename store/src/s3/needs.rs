//! The permissions that an S3 client needs: the network, and the files for name resolution, trusted certificates and
//! credentials.

use std::path::PathBuf;

use septet_sandbox::Needs;

/// Files for name resolution (read by the C library), certificates, and information from a container's host.
const FILES: [&str; 20] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/run/systemd/resolve",
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/ssl",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/proc/self",
    "/proc/sys/net",
    "/sys/devices/virtual/dmi/id",
];
/// Environment variables that name more files.
const VARIABLES: [&str; 7] = [
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];
/// The setting of a profile that gets its credentials from a program.
const PROGRAM: &str = "credential_process";

pub(crate) fn needs() -> Needs {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let named = VARIABLES.iter().filter_map(std::env::var_os).filter(|path| !path.is_empty()).map(PathBuf::from);
    let paths = FILES.iter().map(PathBuf::from).chain(home).chain(named);
    let needs = paths.fold(Needs::nothing(), Needs::read).network();
    if starts_program() { needs.programs() } else { needs }
}

/// Whether the credentials may come from a program. Keys in the environment take precedence over profiles.
fn starts_program() -> bool {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|key| !key.is_empty()) {
        return false;
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".aws"));
    let file = |variable, name: &str| {
        std::env::var_os(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(name)))
    };
    let files = [file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
    files.into_iter().flatten().filter_map(|path| std::fs::read_to_string(path).ok()).any(|text| names_program(&text))
}

fn names_program(profile: &str) -> bool {
    profile.lines().any(|line| line.trim_start().starts_with(PROGRAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_with_a_program_is_known() {
        assert!(names_program("[default]\n  credential_process = /usr/bin/keys\n"));
        assert!(!names_program("[default]\n# credential_process = x\naws_access_key_id = a\n"));
    }
}
