//! Days, months and years, of milliseconds since 1970 in UTC.

const DAY_MS: u64 = 86_400_000;

/// The inverse of [`civil`], for months and days that there are.
pub fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - u64::from(day > 0);
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).saturating_sub(719_468)
}

/// Year, month and day of a day since 1970. Years begin in March here, which puts the leap day at their end; 400 of them have
/// always the same 146,097 days.
pub fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468; // since March 1st of the year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March: 153 days in every five months
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, of_month)
}

/// The same time of the same day a month later; of a day that the next month does not have, of its last one.
pub(crate) fn month_later(ms: u64) -> u64 {
    let (year, month, day) = civil(ms / DAY_MS);
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let (after_year, after_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let length = days_since_1970(after_year, after_month, 1) - days_since_1970(year, month, 1);
    days_since_1970(year, month, day.min(length)) * DAY_MS + ms % DAY_MS
}

/// `20260403T060000Z`: a moment as a name can hold it.
pub fn compact_utc(ms: u64) -> String {
    let (year, month, day) = civil(ms / DAY_MS);
    let seconds = ms % DAY_MS / 1_000;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for n in 0..400_000 {
            assert_eq!(civil(n), (year, month, day), "day {n}");
            assert_eq!(days_since_1970(year, month, day), n);
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn months_end_where_they_end() {
        let at = |y, m, d| days_since_1970(y, m, d) * DAY_MS + 1_234;
        for (from, to) in [
            (at(2026, 1, 15), at(2026, 2, 15)),
            (at(2026, 1, 31), at(2026, 2, 28)),
            (at(2028, 1, 31), at(2028, 2, 29)),
            (at(2026, 2, 28), at(2026, 3, 28)),
            (at(2026, 11, 30), at(2026, 12, 30)),
            (at(2026, 12, 31), at(2027, 1, 31)),
        ] {
            assert_eq!(month_later(from), to);
        }
    }

    #[test]
    fn moments_as_names() {
        assert_eq!(compact_utc(0), "19700101T000000Z");
        assert_eq!(compact_utc(1_775_834_580_999), "20260410T152300Z");
    }
}
