//! When: `schedule`.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use crate::pdp::time::UnixTime;

/// On which days, and between which hours, in which time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRule {
    /// The days; at least one.
    pub days: Vec<Weekday>,
    /// From this time of day.
    pub from: Time,
    /// Until just before this one. Not after `from`: until then on the next day. Equal: all day.
    pub until: Time,
    /// Whose days and hours they are, daylight saving time included.
    pub zone: TimeZone,
}

impl ScheduleRule {
    /// Whether it is the time. Hours that pass midnight belong to the day on which they began.
    #[must_use]
    pub fn admits(&self, now: UnixTime) -> bool {
        let Ok(now) = Timestamp::from_millisecond(now.as_millis()) else { return false };
        let local = now.to_zoned(self.zone.clone());
        let (day, time) = (local.weekday(), local.time());
        let on = |day: Weekday| self.days.contains(&day);
        if self.from < self.until {
            on(day) && self.from <= time && time < self.until
        } else {
            (on(day) && self.from <= time) || (on(day.previous()) && time < self.until)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(days: &[Weekday], from: &str, until: &str, zone: &str) -> ScheduleRule {
        ScheduleRule { days: days.to_vec(), from: from.parse().unwrap(), until: until.parse().unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn admits(rule: &ScheduleRule, at: &str) -> bool {
        rule.admits(UnixTime::from_millis(at.parse::<Timestamp>().unwrap().as_millisecond()))
    }

    const WEEK: [Weekday; 5] = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

    #[test]
    fn office_hours_are_those_of_the_zone_in_summer_and_winter() {
        let rule = rule(&WEEK, "08:00", "18:00", "Europe/Berlin");
        // Thursdays, at 08:00 and just before 18:00 in Berlin.
        for inside in ["2026-07-16T06:00:00Z", "2026-07-16T15:59:59.999Z", "2026-01-15T07:00:00Z", "2026-01-15T16:59:59.999Z"] {
            assert!(admits(&rule, inside), "{inside}");
        }
        for outside in
            ["2026-07-16T05:59:59.999Z", "2026-07-16T16:00:00Z", "2026-01-15T06:59:59.999Z", "2026-01-15T17:00:00Z", "2026-07-18T10:00:00Z"]
        {
            assert!(!admits(&rule, outside), "{outside}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let rule = rule(&[Weekday::Friday], "22:00", "06:00", "UTC");
        // 2026-07-17 is a Friday.
        for inside in ["2026-07-17T22:00:00Z", "2026-07-18T00:00:00Z", "2026-07-18T05:59:59Z"] {
            assert!(admits(&rule, inside), "{inside}");
        }
        for outside in ["2026-07-17T00:00:00Z", "2026-07-17T21:59:59Z", "2026-07-18T06:00:00Z", "2026-07-18T22:00:00Z"] {
            assert!(!admits(&rule, outside), "{outside}");
        }
    }

    #[test]
    fn equal_times_are_the_whole_day() {
        let rule = rule(&[Weekday::Saturday], "00:00", "00:00", "UTC");
        assert!(admits(&rule, "2026-07-18T00:00:00Z") && admits(&rule, "2026-07-18T23:59:59.999Z"));
        assert!(!admits(&rule, "2026-07-17T23:59:59.999Z") && !admits(&rule, "2026-07-19T00:00:00Z"));
    }
}
