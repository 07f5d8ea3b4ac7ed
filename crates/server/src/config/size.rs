//! Sizes and ranges as people write them.

use std::ops::RangeInclusive;

use super::ConfigError;

/// Reads `1048576`, `512KB`, `32MB` or `1GB`; the units are powers of 1,024.
pub(crate) fn parse_size(setting: &str, text: &str) -> Result<usize, ConfigError> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(wrong(setting, text)),
    };
    let number: usize = number.parse().map_err(|_| wrong(setting, text))?;
    number.checked_mul(1 << shift).filter(|&n| n > 0).ok_or_else(|| wrong(setting, text))
}

fn wrong(setting: &str, text: &str) -> ConfigError {
    ConfigError::new(format!("{setting} is '{text}'; a size such as 512KB, 32MB or 1GB is expected"))
}

/// Reads `5081-5090` or a single port.
pub(crate) fn parse_ports(setting: &str, text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
    let wrong = || ConfigError::new(format!("{setting} is '{text}'; two ports such as 5081-5090 are expected, the lower one first"));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |s: &str| s.trim().parse::<u16>().ok().filter(|&p| p > 0).ok_or_else(wrong);
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1", 1), ("10b", 10), ("2k", 2048), ("32MB", 32 << 20), (" 1 GiB ", 1 << 30)] {
            assert_eq!(parse_size("s", text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "MB", "-1", "1.5MB", "1TB", "0", "99999999999999999999"] {
            assert!(parse_size("--max-body", bad).unwrap_err().to_string().contains("--max-body"), "{bad}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(parse_ports("p", "5081-5090").unwrap(), 5081..=5090);
        assert_eq!(parse_ports("p", "7").unwrap(), 7..=7);
        for bad in ["", "0-1", "2-1", "a-b", "1-70000"] {
            assert!(parse_ports("p", bad).is_err(), "{bad}");
        }
    }
}
