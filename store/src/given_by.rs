//! Who gives a URL, which decides whether it may say what the server supports.

/// Who gives a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenBy {
    /// A user. The URL must not say what the server supports.
    User,
    /// Another process of the run, which has tested the server.
    Supervisor,
}
