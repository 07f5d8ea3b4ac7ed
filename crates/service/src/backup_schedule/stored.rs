//! A backup schedule as bytes: what its catalog row holds.

use pinyon_model::{BackupFrequency, BackupId, BackupSchedule, BackupScheduleId, IndexId, PlannedRun, ProjectId, Result};

use crate::codec::{Reader, Writer};

pub(crate) fn write(schedule: &BackupSchedule, w: &mut Writer) {
    let BackupSchedule { id: _, project_id: _, index_id, name, frequency, retention_days, next_run, created_at_ms } = schedule;
    w.raw(index_id.as_bytes()).text(name).text(frequency.as_str()).u32(*retention_days);
    w.option(*next_run, |w, run| {
        w.u64(run.at_ms).raw(run.backup_id.as_bytes());
    });
    w.u64(*created_at_ms);
}

pub(crate) fn read(id: BackupScheduleId, project_id: ProjectId, r: &mut Reader<'_>) -> Result<BackupSchedule> {
    Ok(BackupSchedule {
        id,
        project_id,
        index_id: IndexId::from_bytes(r.array()?),
        name: r.text()?,
        frequency: BackupFrequency::parse(&r.text()?).map_err(|_| r.malformed())?,
        retention_days: r.u32()?,
        next_run: r.option(|r| Ok(PlannedRun { at_ms: r.u64()?, backup_id: BackupId::from_bytes(r.array()?) }))?,
        created_at_ms: r.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn reads_back_what_was_written(
            name in "[ -~]{1,80}",
            frequency in prop::sample::select(&BackupFrequency::ALL[..]),
            (index, retention_days, next, created_at_ms) in (any::<[u8; 16]>(), any::<u32>(), option::of(any::<(u64, [u8; 16])>()), any::<u64>()),
        ) {
            let (id, project_id) = (BackupScheduleId::from_bytes([1; 16]), ProjectId::from_bytes([2; 16]));
            let next_run = next.map(|(at_ms, backup)| PlannedRun { at_ms, backup_id: BackupId::from_bytes(backup) });
            let index_id = IndexId::from_bytes(index);
            let schedule = BackupSchedule { id, project_id, index_id, name, frequency, retention_days, next_run, created_at_ms };
            let mut w = Writer::default();
            write(&schedule, &mut w);
            let bytes = w.finish();
            for len in 0..bytes.len() {
                let mut r = Reader::new("A schedule", &bytes[..len]);
                prop_assert!(read(id, project_id, &mut r).and_then(|_| r.end()).is_err(), "cut to {} bytes", len);
            }
            let mut r = Reader::new("A schedule", &bytes);
            prop_assert_eq!(read(id, project_id, &mut r).unwrap(), schedule);
            r.end().unwrap();
        }
    }
}
