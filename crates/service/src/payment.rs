//! What an organization that does not pay may still do. What is kept can always be seen and deleted.

use pinyon_model::{Error, ErrorCode, PaymentStatus, Permission, Principal, Result};

use crate::{Service, authorize::Action};

/// What an action costs, in order of how long it is given on credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// Making and changing things, and what computes: refused from the first bill that is late.
    Making,
    Writing,
    Reading,
    Nothing,
}

impl Action {
    const fn cost(self) -> Cost {
        match self {
            Action::CreateIndex | Action::ConfigureIndex | Action::Unbuilt(Permission::Inference) => Cost::Making,
            Action::CreateBackup | Action::CreateIndexFromBackup | Action::CreateCollection => Cost::Making,
            Action::CreateBackupSchedule | Action::UpdateBackupSchedule => Cost::Making,
            Action::Upsert | Action::Update | Action::CreateNamespace | Action::Unbuilt(Permission::DataWrite) => Cost::Writing,
            Action::Query | Action::Explain | Action::Fetch | Action::FetchByMetadata | Action::ListRecords => Cost::Reading,
            Action::Unbuilt(Permission::DataRead) => Cost::Reading,
            _ => Cost::Nothing,
        }
    }
}

/// The least that has to be paid for.
const fn refused_up_to(status: PaymentStatus) -> Option<Cost> {
    match status {
        PaymentStatus::Active | PaymentStatus::PaymentPending => None,
        PaymentStatus::PastDue => Some(Cost::Making),
        PaymentStatus::Restricted => Some(Cost::Writing),
        PaymentStatus::Suspended | PaymentStatus::Deactivated => Some(Cost::Reading),
    }
}

impl Service {
    /// `PaymentRequired` when the caller's organization has not paid for this. The operator's own commands are never refused.
    pub(crate) fn check_payment(&self, principal: &Principal, action: Action) -> Result<()> {
        let cost = action.cost();
        let Some(organization) = principal.organization_id().filter(|_| cost != Cost::Nothing) else { return Ok(()) };
        let status = self.catalog().tables().organizations.get(&organization).map(|o| o.payment_status);
        let Some(status) = status.filter(|s| refused_up_to(*s).is_some_and(|max| cost <= max)) else { return Ok(()) };
        let told = format!("The organization's payment status is {}: this is not possible until it has paid", status.as_str());
        Err(Error::new(ErrorCode::PaymentRequired, told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the RFC.
    #[test]
    fn who_does_not_pay() {
        let actions = [Action::CreateIndex, Action::Upsert, Action::Query, Action::Delete, Action::ListIndexes, Action::CreateApiKey];
        let refused = |status| actions.map(|a| refused_up_to(status).is_some_and(|max| a.cost() <= max));
        let (y, n) = (true, false);
        for (status, expected) in [
            (PaymentStatus::Active, [n, n, n, n, n, n]),
            (PaymentStatus::PaymentPending, [n, n, n, n, n, n]),
            (PaymentStatus::PastDue, [y, n, n, n, n, n]),
            (PaymentStatus::Restricted, [y, y, n, n, n, n]),
            (PaymentStatus::Suspended, [y, y, y, n, n, n]),
            (PaymentStatus::Deactivated, [y, y, y, n, n, n]),
        ] {
            assert_eq!(refused(status), expected, "{status:?}");
        }
    }
}
