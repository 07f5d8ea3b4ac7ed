//! Backups that are taken and deleted by themselves.

use std::sync::Arc;

use pinyon_model::{
    Backup, BackupFrequency, BackupSchedule, BackupScheduleChange, BackupStatus, ErrorCode, IndexSpec, NewBackupSchedule, Page, PageRequest,
};
use pinyon_service::{Clock, Limits, ManualClock, OpContext, ScheduledRun, Service, ServiceOptions};

use crate::{
    backups::stored,
    common::{House, close, code, files, pod, restore, spec},
};

const DAY: u64 = 24 * 60 * 60 * 1_000;
const FIRST: PageRequest = PageRequest { limit: 100, after: None };

fn new(text: &str, frequency: BackupFrequency, retention_days: u32) -> NewBackupSchedule {
    NewBackupSchedule { name: text.to_owned(), frequency, retention_days }
}

fn daily() -> NewBackupSchedule {
    new("nightly", BackupFrequency::Daily, 2)
}

async fn backups(service: &Service, ctx: &OpContext) -> Vec<Backup> {
    service.list_backups(ctx, FIRST).await.unwrap().items
}

async fn next(service: &Service, ctx: &OpContext, schedule: &BackupSchedule) -> Option<u64> {
    service.describe_backup_schedule(ctx, &schedule.id.to_string()).await.unwrap().next_run.map(|r| r.at_ms)
}

#[tokio::test]
async fn backups_come_in_their_time_and_go_in_theirs() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let start = house.clock.now_ms();
    let schedule = service.create_backup_schedule(&me, "plants", daily()).await.unwrap();
    assert_eq!(schedule.next_run.unwrap().at_ms, start + DAY);
    service.run_backup_schedules().await.unwrap();
    assert!(backups(&service, &me).await.is_empty(), "it is not due");
    house.clock.advance_ms(DAY - 1);
    service.run_backup_schedules().await.unwrap();
    assert!(backups(&service, &me).await.is_empty(), "not by a millisecond");
    for day in 1..=3u64 {
        house.clock.advance_ms(if day == 1 { 1 } else { DAY });
        service.run_backup_schedules().await.unwrap();
        service.run_backup_schedules().await.unwrap();
        assert_eq!(next(&service, &me, &schedule).await, Some(start + (day + 1) * DAY));
        for backup in backups(&service, &me).await {
            stored(&service, &me, backup.id).await;
        }
        // Kept for two days: on the third the first is gone.
        let kept: Vec<u64> = backups(&service, &me).await.iter().map(|b| (b.created_at_ms - start) / DAY).collect();
        assert_eq!(kept, if day < 3 { (1..=day).collect::<Vec<_>>() } else { vec![2, 3] });
    }
    // One that is brought back after its time does not go again at once.
    let expired = service.list_deleted(&house.operator()).await.unwrap();
    service.restore_deleted(&house.operator(), expired[0].id).await.unwrap();
    service.run_backup_schedules().await.unwrap();
    let back = backups(&service, &me).await;
    assert_eq!((back.len(), back[0].expires_at_ms), (3, None));
    service.delete_backup(&me, &back[0].id.to_string()).await.unwrap();
    let all = backups(&service, &me).await;
    assert!(all.iter().all(|b| b.schedule_id == Some(schedule.id) && matches!(b.status, BackupStatus::Ready(_))));
    // 1_700_000_000_000 is 2023-11-14T22:13:20Z.
    assert_eq!(all[0].name(), Some("nightly-20231116T221320Z"));

    let history = service.list_backup_schedule_history(&me, &schedule.id.to_string(), FIRST).await.unwrap().items;
    assert_eq!(history.len(), 3);
    let ScheduledRun::Planned { backup, at_ms } = &history[2] else { panic!("{history:?}") };
    assert_eq!((*at_ms, backup.name()), (start + 4 * DAY, Some("nightly-20231118T221320Z")));

    // Other days of retention count for what is there.
    let change = BackupScheduleChange { retention_days: Some(1), ..BackupScheduleChange::default() };
    service.update_backup_schedule(&me, &schedule.id.to_string(), change).await.unwrap();
    service.run_backup_schedules().await.unwrap();
    assert_eq!(backups(&service, &me).await.len(), 1);
    // What a deleted schedule took stays.
    service.delete_backup_schedule(&me, &schedule.id.to_string()).await.unwrap();
    house.clock.advance_ms(100 * DAY);
    service.run_backup_schedules().await.unwrap();
    assert_eq!(backups(&service, &me).await.len(), 1);
    assert_eq!(code(service.describe_backup_schedule(&me, &schedule.id.to_string()).await), Some(ErrorCode::NotFound));
}

#[tokio::test]
async fn missed_times_run_once_and_a_crash_makes_none_too_many() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let start = house.clock.now_ms();
    let schedule = service.create_backup_schedule(&me, "plants", new("n", BackupFrequency::Daily, 1_000)).await.unwrap();
    close(service).await;
    house.clock.advance_ms(5 * DAY + 7);
    let serves = || ServiceOptions { serves: true, ..house.options() };
    let before = files(house.path());
    for crashed in [false, true] {
        if crashed {
            restore(house.path(), &before);
        }
        let service = house.open_with(serves()).await.unwrap();
        // What a server does at start, it does in the background.
        for _ in 0..2_000 {
            if next(&service, &me, &schedule).await > Some(start + DAY) && !backups(&service, &me).await.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(backups(&service, &me).await.len(), 1, "five times were missed, and one is made up for");
        assert_eq!(next(&service, &me, &schedule).await, Some(start + 6 * DAY));
        close(service).await;
        let service = house.open_with(serves()).await.unwrap();
        assert_eq!(backups(&service, &me).await.len(), 1);
        close(service).await;
    }
}

#[tokio::test]
async fn an_index_has_one_enabled_schedule() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    service.create_index(&me, IndexSpec { deployment: pod(), ..spec("pod") }).await.unwrap();
    assert_eq!(code(service.create_backup_schedule(&me, "pod", daily()).await), Some(ErrorCode::InvalidArgument));
    assert_eq!(code(service.create_backup_schedule(&me, "none", daily()).await), Some(ErrorCode::NotFound));
    let first = service.create_backup_schedule(&me, "plants", daily()).await.unwrap();
    assert_eq!(code(service.create_backup_schedule(&me, "plants", daily()).await), Some(ErrorCode::AlreadyExists));
    let id = first.id.to_string();
    let enabled = |on| BackupScheduleChange { enabled: Some(on), ..BackupScheduleChange::default() };
    let off = service.update_backup_schedule(&me, &id, enabled(false)).await.unwrap();
    assert_eq!((off.is_enabled(), off.next_run), (false, None));
    let history = service.list_backup_schedule_history(&me, &id, FIRST).await.unwrap();
    assert_eq!(history, Page { items: vec![], next: None });
    house.clock.advance_ms(3 * DAY);
    service.run_backup_schedules().await.unwrap();
    assert!(backups(&service, &me).await.is_empty(), "a disabled one does not run");
    let second = service.create_backup_schedule(&me, "plants", new("w", BackupFrequency::Weekly, 7)).await.unwrap();
    assert_eq!(code(service.update_backup_schedule(&me, &id, enabled(true)).await), Some(ErrorCode::AlreadyExists));
    assert_eq!(service.list_backup_schedules(&me, "plants", FIRST).await.unwrap().items.len(), 2);
    service.delete_backup_schedule(&me, &second.id.to_string()).await.unwrap();

    // Enabled again it runs at once, and plans from now.
    let me = OpContext { now_ms: house.clock.now_ms(), ..me };
    let on = service.update_backup_schedule(&me, &id, enabled(true)).await.unwrap();
    assert_eq!(on.next_run.unwrap().at_ms, house.clock.now_ms() + DAY);
    let taken = backups(&service, &me).await;
    assert_eq!((taken.len(), taken[0].schedule_id), (1, Some(on.id)));
    service.update_backup_schedule(&me, &id, enabled(true)).await.unwrap();
    assert_eq!(backups(&service, &me).await.len(), 1, "it was enabled already");
    let weekly = BackupScheduleChange { frequency: Some(BackupFrequency::Weekly), ..BackupScheduleChange::default() };
    let changed = service.update_backup_schedule(&me, &id, weekly).await.unwrap();
    assert_eq!(changed.next_run.unwrap().at_ms, house.clock.now_ms() + 7 * DAY);
    assert_eq!(service.update_backup_schedule(&me, &id, BackupScheduleChange::default()).await.unwrap(), changed);

    // One that is made later under the index's name does not inherit it.
    stored(&service, &me, taken[0].id).await;
    service.delete_index(&me, "plants").await.unwrap();
    service.create_index(&me, spec("plants")).await.unwrap();
    assert!(service.list_backup_schedules(&me, "plants", FIRST).await.unwrap().items.is_empty());
    assert_eq!(code(service.describe_backup_schedule(&me, &id).await), Some(ErrorCode::NotFound));
    for id in ["", "x", &id] {
        assert_eq!(code(service.update_backup_schedule(&me, id, enabled(true)).await), Some(ErrorCode::NotFound));
        assert_eq!(code(service.delete_backup_schedule(&me, id).await), Some(ErrorCode::NotFound));
        assert_eq!(code(service.list_backup_schedule_history(&me, id, FIRST).await), Some(ErrorCode::NotFound));
    }
}

#[tokio::test]
async fn a_run_that_fails_is_in_the_history_with_the_reason() {
    let house = House::new();
    let limits = pinyon_service::Limits { backups_per_project: Some(1), ..Default::default() };
    let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let schedule = service.create_backup_schedule(&me, "plants", new("n", BackupFrequency::Daily, 1_000)).await.unwrap();
    for _ in 0..2 {
        house.clock.advance_ms(DAY);
        service.run_backup_schedules().await.unwrap();
        for backup in backups(&service, &me).await {
            stored(&service, &me, backup.id).await;
        }
    }
    let found = backups(&service, &me).await;
    assert!(
        matches!(&found[..], [first, second] if first.status.counts().is_some()
        && matches!(&second.status, BackupStatus::Failed(reason) if reason.contains("limit of 1 backups"))),
        "{found:?}"
    );
    assert_eq!(service.list_backup_schedule_history(&me, &schedule.id.to_string(), FIRST).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_full_project_takes_backups_again_as_soon_as_there_is_room() {
    // What is over goes before what is due comes, so a schedule of one needs no second place; and runs that failed take none.
    for (retention_days, taken) in [(1, [true, true, true, true]), (3, [true, false, false, true])] {
        let house = House::new();
        let limits = Limits { backups_per_project: Some(1), ..Limits::default() };
        let service = house.open_with(ServiceOptions { limits, ..house.options() }).await.unwrap();
        let me = house.editor(&service).await;
        service.create_index(&me, spec("plants")).await.unwrap();
        service.create_backup_schedule(&me, "plants", new("n", BackupFrequency::Daily, retention_days)).await.unwrap();
        for (day, is_taken) in taken.into_iter().enumerate() {
            house.clock.advance_ms(DAY);
            service.run_backup_schedules().await.unwrap();
            let newest = backups(&service, &me).await.pop().unwrap();
            let newest = stored(&service, &me, newest.id).await;
            assert_eq!(newest.status.counts().is_some(), is_taken, "{retention_days} days, day {day}: {newest:?}");
        }
        close(service).await;
    }
}

#[tokio::test]
async fn a_clock_that_stood_ahead_does_not_stop_a_schedule() {
    let house = House::new();
    let service = house.open().await;
    let me = house.editor(&service).await;
    service.create_index(&me, spec("plants")).await.unwrap();
    let start = house.clock.now_ms();
    let schedule = service.create_backup_schedule(&me, "plants", new("n", BackupFrequency::Daily, 1_000)).await.unwrap();
    house.clock.advance_ms(100 * DAY);
    service.run_backup_schedules().await.unwrap();
    assert_eq!(next(&service, &me, &schedule).await, Some(start + 101 * DAY));
    stored(&service, &me, backups(&service, &me).await[0].id).await;
    close(service).await;

    // It is half a day after the start in truth.
    let clock = ManualClock::at(start + DAY / 2);
    let service = Service::open(house.options(), Arc::new(clock.clone())).await.unwrap();
    service.run_backup_schedules().await.unwrap();
    assert_eq!(next(&service, &me, &schedule).await, Some(start + DAY / 2 + DAY));
    // What is planned as it should be stays so.
    clock.advance_ms(DAY / 4);
    service.run_backup_schedules().await.unwrap();
    assert_eq!(next(&service, &me, &schedule).await, Some(start + DAY / 2 + DAY));
    clock.advance_ms(DAY);
    service.run_backup_schedules().await.unwrap();
    assert_eq!(backups(&service, &me).await.len(), 2);
    close(service).await;
}
