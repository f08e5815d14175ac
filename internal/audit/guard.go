package audit

// What the limits and the lock-out do (S-26 to S-36, S-52). Reason says which rule it was.
const (
	LimitHit      Type = "limit.hit"
	AccountLocked Type = "account.locked"
	SourceRefused Type = "account.source.refused"

	MessageDelivered   Type = "message.delivered"
	MessageUndelivered Type = "message.undelivered"
	MessagesPaused     Type = "message.paused"
	BudgetNear         Type = "message.budget.near"
)

// What happens to the keys, the data and this log as a whole. Who did it is in [Event.Actor].
const (
	SigningKeyRetired Type = "key.retired"
	KeysReplaced      Type = "key.emergency"
	MasterKeyChanged  Type = "key.master.changed"

	BackupMade     Type = "backup.made"
	BackupRestored Type = "backup.restored"
	SchemaMigrated Type = "schema.migrated"

	LogExported Type = "audit.exported"
	LogTrimmed  Type = "audit.trimmed"
)
