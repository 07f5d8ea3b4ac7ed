//! A password, typed where nobody sees it: asked for twice at a terminal, else one line of standard input. Never an argument, which
//! every program on the machine could read.

use std::io::{BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;
use crate::operator::Secret;

/// Reads a password; `prompt` is what a person is asked.
pub(super) fn read(prompt: &str) -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return line(&mut stdin.lock()).map(Secret::new);
    }
    let hidden = Hidden::new()?;
    let first = ask(prompt)?;
    let second = ask("Once more: ")?;
    drop(hidden);
    if first != second {
        return Err(Failure::new("the two are not the same"));
    }
    Ok(Secret::new(first))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    eprint!("{prompt}");
    std::io::stderr().flush()?;
    let typed = line(&mut std::io::stdin().lock());
    eprintln!();
    typed
}

/// One line, without its end: spaces belong to a password.
fn line(input: &mut impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    input.read_line(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned());
    if line.is_empty() { Err(Failure::new("no password came on standard input")) } else { Ok(line) }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing is left to try when the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_password() {
        let read = |text: &str| line(&mut text.as_bytes()).map(|l| l.to_string()).ok();
        for (text, password) in [("a b \n", "a b "), ("a\r\n", "a"), ("a", "a"), ("a\nb\n", "a")] {
            assert_eq!(read(text).as_deref(), Some(password));
        }
        assert_eq!((read(""), read("\n")), (None, None));
    }
}
