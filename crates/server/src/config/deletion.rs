//! How long what was deleted is kept.

use pinyon_service::DeletionOptions;

use super::{ConfigError, ServerArgs};
use crate::operator::duration_ms;

/// The window and the brake.
pub(crate) fn deletion(args: &ServerArgs) -> Result<DeletionOptions, ConfigError> {
    let defaults = DeletionOptions::default();
    let window_ms = match &args.deletion_window {
        None => defaults.window_ms,
        Some(text) => duration_ms(text).ok().filter(|ms| *ms <= DeletionOptions::WINDOW_MS_MAX).ok_or_else(|| {
            ConfigError::new(format!("--deletion-window is '{text}'; a length of time from 0s to 90d is expected, such as 7d or 12h"))
        })?,
    };
    let brake_percent = args.deletion_brake_percent.unwrap_or(defaults.brake_percent);
    if brake_percent > 100 {
        return Err(ConfigError::new(format!("--deletion-brake-percent is {brake_percent}; 0 to 100 is expected")));
    }
    Ok(DeletionOptions { window_ms, brake_percent, ..defaults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_bounds() {
        let window =
            |text: &str| deletion(&ServerArgs { deletion_window: Some(text.to_owned()), ..ServerArgs::default() }).map(|d| d.window_ms);
        let day = 24 * 60 * 60 * 1_000;
        assert_eq!(deletion(&ServerArgs::default()).unwrap().window_ms, 7 * day);
        assert_eq!((window("0s").unwrap(), window("90d").unwrap(), window("2160h").unwrap()), (0, 90 * day, 90 * day));
        for bad in ["91d", "2161h", "7", "-1d", "", "week"] {
            assert!(window(bad).unwrap_err().to_string().contains("--deletion-window"), "{bad}");
        }
        let brake = |percent| deletion(&ServerArgs { deletion_brake_percent: Some(percent), ..ServerArgs::default() }).is_ok();
        assert_eq!((brake(0), brake(100), brake(101)), (true, true, false));
    }
}
