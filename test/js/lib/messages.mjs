// What people are told, as [class, key, text]. Third-party tests compare these texts word for word.

export const wrongPassword = [['ERROR', 'errors.E0000004', 'Authentication failed']];
export const unknownUser = (name) => [['INFO', 'idx.unknown.user', `There is no account with the Username ${name}.`]];
export const badNumber = [['ERROR', 'api.factors.error.sms.invalid_phone', 'Invalid Phone Number.']];
export const wrongCode = [['ERROR', 'api.authn.error.PASSCODE_INVALID', 'Invalid code. Try again.']];
export const malformed = [['ERROR', 'errors.E0000003', 'The request body was not well-formed.']];
export const tooMany = [['ERROR', 'tooManyRequests', 'Too many requests']];
export const notOffered = [['ERROR', 'errors.E0000020', 'Bad request.']];
export const expired = [[
  'ERROR', 'idx.session.expired', 'You have been logged out due to inactivity. Refresh or return to the sign in screen.',
]];
