package audit

// What an operator does to the organisation. Who did it is in [Event.Actor].
const (
	UserCreated   Type = "user.created"
	UserChanged   Type = "user.changed"
	UserDisabled  Type = "user.disabled"
	UserEnabled   Type = "user.enabled"
	UserDeleted   Type = "user.deleted"
	UserUnlocked  Type = "user.unlocked"
	PasswordSet   Type = "user.password.set"
	FactorReset   Type = "factor.reset"
	UsersImported Type = "users.imported"
	UsersExported Type = "users.exported"

	GroupCreated  Type = "group.created"
	GroupChanged  Type = "group.changed"
	GroupDeleted  Type = "group.deleted"
	MemberAdded   Type = "group.member.added"
	MemberRemoved Type = "group.member.removed"

	AppCreated         Type = "app.created"
	AppChanged         Type = "app.changed"
	AppDeleted         Type = "app.deleted"
	RegistrationOpened Type = "app.registration.opened"
	AppSecretRotated   Type = "app.secret.rotated"
	ServerCreated      Type = "server.created"
	ServerChanged      Type = "server.changed"
	ServerDeleted      Type = "server.deleted"
	AuthenticatorSet   Type = "authenticator.changed"
	AuthenticatorGone  Type = "authenticator.deleted"
)
