//! Lines to standard output and standard error.

use std::io::Write;

/// Prints a line of results. A closed pipe is not an error.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints a line that is not a result, to standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
