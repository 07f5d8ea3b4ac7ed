//! Runs and what their schedules say by then.

use pinyon_model::{Backup, BackupFrequency, BackupId, BackupScheduleChange, BackupStatus, NewBackupSchedule, PlannedRun};

use super::{DAY_MS, is_too_far};
use crate::{
    Limits,
    backup::tests::{opened, spec},
};

fn daily() -> NewBackupSchedule {
    NewBackupSchedule { name: "nightly".into(), frequency: BackupFrequency::Daily, retention_days: 2 }
}

#[tokio::test]
async fn a_run_that_was_under_way_ends_as_its_schedule_says_by_then() {
    let (_dir, service, me) = opened(Limits::default()).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let before = service.create_backup_schedule(&me, "plants", daily()).await.unwrap();
    let schedule = before.id.to_string();
    let run = |n: u8| PlannedRun { at_ms: me.now_ms, backup_id: BackupId::from_bytes([n; 16]) };
    let found = |n: u8| service.catalog().tables().backups.get(&BackupId::from_bytes([n; 16])).cloned();
    let failed = |n: u8| {
        let like = found(1).unwrap();
        let kept = Backup { id: BackupId::from_bytes([n; 16]), status: BackupStatus::Failed("full".into()), expires_at_ms: None, ..like };
        service.keep_failed(kept)
    };

    let change = BackupScheduleChange { retention_days: Some(5), ..BackupScheduleChange::default() };
    service.update_backup_schedule(&me, &schedule, change).await.unwrap();
    service.take_scheduled(&before, run(1), me.now_ms).await.unwrap();
    let taken = found(1).unwrap();
    assert_eq!((taken.schedule_id, taken.expires_at_ms), (Some(before.id), Some(me.now_ms + 5 * DAY_MS)));
    failed(2).await.unwrap();
    assert_eq!(found(2).unwrap().expires_at_ms, Some(me.now_ms + 5 * DAY_MS));

    // What a deleted schedule took stays, and what it failed to take is of no interest any more.
    service.delete_backup_schedule(&me, &schedule).await.unwrap();
    service.take_scheduled(&before, run(3), me.now_ms).await.unwrap();
    assert_eq!(found(3).unwrap().expires_at_ms, None);
    failed(4).await.unwrap();
    assert_eq!(found(4), None);
    service.backup_tasks().stored().await;
    service.close().await;
}

#[tokio::test]
async fn a_run_is_too_far_when_nothing_that_is_planned_now_could_be_there() {
    let (_dir, service, me) = opened(Limits::default()).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let mut schedule = service.create_backup_schedule(&me, "plants", daily()).await.unwrap();
    service.close().await;
    let mut at = |frequency: BackupFrequency, at_ms: u64, now_ms: u64| {
        schedule.frequency = frequency;
        schedule.next_run = Some(PlannedRun { at_ms, backup_id: BackupId::from_bytes([1; 16]) });
        is_too_far(&schedule, now_ms)
    };
    for frequency in BackupFrequency::ALL {
        let next = frequency.after(1_000);
        assert!(!at(frequency, next, 1_000) && !at(frequency, next, next) && at(frequency, next + DAY_MS + 1, 1_000), "{frequency:?}");
    }
    assert!(at(BackupFrequency::Daily, DAY_MS + 1_001, 1_000));
    // Planned on January 30th at 23 o'clock for February 28th at 23, and looked at on the 31st at 1.
    let (planned, looked) = (29 * DAY_MS + 23 * 3_600_000, 30 * DAY_MS + 3_600_000);
    assert!(!at(BackupFrequency::Monthly, BackupFrequency::Monthly.after(planned), looked));
}
