//! `schedule`: on which days, between which hours, in which time zone.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use crate::config::problem::Problems;
use crate::config::yaml::Node;

#[derive(Debug, Clone)]
pub(crate) struct ScheduleSchema {
    pub days: Vec<Weekday>,
    pub from: Time,
    pub until: Time,
    pub zone: TimeZone,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

pub(super) fn read(node: &Node<'_>, problems: &mut Problems) -> Option<ScheduleSchema> {
    let mut map = node.map(problems)?;
    let days = map.take("days").map_or_else(|| Some(DAYS.map(|(_, day)| day).to_vec()), |node| days(&node, problems));
    let hours = map.take("hours").map_or(Some((Time::midnight(), Time::midnight())), |node| {
        let text = node.string(problems)?;
        text.convert(problems, |text| hours(&text).ok_or_else(|| format!("'{text}' are no hours; write them as '08:00-18:00'")))
            .map(|hours| hours.value)
    });
    let zone = map.require(problems, "zone", "whose days and hours they are, such as 'Europe/Berlin' or 'UTC'").and_then(|node| {
        let name = node.string(problems)?;
        name.convert(problems, |name| {
            TimeZone::get(&name).map_err(|_| format!("'{name}' is no time zone, such as 'Europe/Berlin' or 'UTC'"))
        })
    });
    map.finish(problems);
    let (from, until) = hours?;
    Some(ScheduleSchema { days: days?, from, until, zone: zone?.value })
}

fn days(node: &Node<'_>, problems: &mut Problems) -> Option<Vec<Weekday>> {
    let mut days = Vec::new();
    for text in node.strings(problems)? {
        match day_range(&text.value) {
            Some(range) => days.extend(range),
            None => text.problem(problems, format!("'{}' is no day; write 'mon' to 'sun', or a range such as 'mon-fri'", text.value)),
        }
    }
    if days.is_empty() {
        node.problem(problems, "there must be at least one day; leave the key out for all of them");
        return None;
    }
    Some(days)
}

/// `fri`, or `fri-mon`, which is four days.
fn day_range(text: &str) -> Option<Vec<Weekday>> {
    let day = |name: &str| DAYS.iter().find(|(known, _)| *known == name).map(|(_, day)| *day);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let mut days = vec![first];
    let mut next = first;
    while next != last {
        next = next.next();
        days.push(next);
    }
    Some(days)
}

fn hours(text: &str) -> Option<(Time, Time)> {
    let (from, until) = text.split_once('-')?;
    let time = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let two_digits =
            |text: &str| if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) { text.parse::<i8>().ok() } else { None };
        // The end of the day may be written as 24:00.
        match (two_digits(hour)?, two_digits(minute)?) {
            (24, 0) => Some(Time::midnight()),
            (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
        }
    };
    Some((time(from)?, time(until)?))
}
