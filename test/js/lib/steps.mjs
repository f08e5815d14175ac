// The steps of a sign-in as nextStep shows them: read, as 7 and legacy mode understand the form (and
// step mode too, after a failure), and raw, as step mode passes it on after a success.

const id = /^[\w-]+$/;
const authenticatorId = /^aut[\w-]+$/;
const masked = /^\+1 XXX-XXX-\d{4}$/;

const phone = { type: 'phone', key: 'phone_number', id: authenticatorId, displayName: 'Phone', methods: [{ type: 'sms' }] };
const password = { type: 'password', key: 'okta_password', id, displayName: 'Password', methods: [{ type: 'password' }] };
const herPhone = { ...phone, id, profile: { phoneNumber: masked } };

const sms = [{ label: 'SMS', value: 'sms' }];
const idField = { name: 'id', required: true, value: authenticatorId, mutable: false };
const enrollmentField = { name: 'enrollmentId', required: true, value: id, mutable: false };
const method = (required) => ({ name: 'methodType', type: 'string', required, options: sms });

// An action below an authenticator; its form is the wire's business and checked there.
const action = (name) => (form) => form.name === name && form.rel[0] === 'create-form' && form.method === 'POST';

const chooseToEnroll = (canSkip) => ({
  read: {
    name: 'select-authenticator-enroll',
    inputs: [{ name: 'authenticator', type: 'string', options: [{ label: 'Phone', value: 'phone_number' }] }],
    canSkip,
  },
  raw: {
    name: 'select-authenticator-enroll',
    inputs: [{
      name: 'authenticator',
      type: 'object',
      options: [{
        label: 'Phone',
        value: [idField, method(false), { name: 'phoneNumber', label: 'Phone number', required: false }],
        relatesTo: phone,
      }],
    }],
    canSkip,
  },
});

const code = (name, authenticator, enrollments) => ({
  read: {
    name,
    type: 'phone',
    authenticator,
    authenticatorEnrollments: enrollments,
    inputs: [{ name: 'verificationCode', label: 'Enter code', type: 'string', required: true, messages: undefined }],
    canResend: true,
  },
  raw: {
    name,
    relatesTo: { type: 'object', value: authenticator },
    inputs: [{ name: 'credentials', type: 'object', required: true, value: [{ name: 'passcode', label: 'Enter code' }] }],
    canResend: true,
  },
});

// identify is the first page: name and password together.
export const identify = {
  read: {
    name: 'identify',
    inputs: [
      { name: 'username', label: 'Username', required: true },
      { name: 'password', label: 'Password', secret: true, required: true },
      { name: 'rememberMe', type: 'boolean', label: 'Remember this device' },
    ],
  },
  raw: {
    name: 'identify',
    inputs: [
      { name: 'identifier', type: 'string', label: 'Username', required: true },
      { name: 'credentials', type: 'object', required: true, value: [{ name: 'passcode', label: 'Password', secret: true }] },
      { name: 'rememberMe', type: 'boolean', label: 'Remember this device' },
    ],
  },
};

// identifyFirst is the first page where the policy asks for the name alone.
export const identifyFirst = {
  read: { name: 'identify', inputs: [identify.read.inputs[0], identify.read.inputs[2]] },
  raw: { name: 'identify', inputs: [identify.raw.inputs[0], identify.raw.inputs[2]] },
};

// passwordPage follows identifyFirst.
export const passwordPage = {
  read: {
    name: 'challenge-authenticator',
    type: 'password',
    authenticator: password,
    authenticatorEnrollments: [password],
    inputs: [{ name: 'password', label: 'Password', type: 'string', secret: true, required: true }],
  },
  raw: {
    name: 'challenge-authenticator',
    relatesTo: { type: 'object', value: password },
    inputs: [identify.raw.inputs[1]],
  },
};

export const chooseEnroll = chooseToEnroll(undefined);
export const mayEnroll = chooseToEnroll(true);

// phoneNumber is the page for the number.
export const phoneNumber = {
  read: {
    name: 'authenticator-enrollment-data',
    type: 'phone',
    authenticator: phone,
    inputs: [method(true), { name: 'phoneNumber', label: 'Phone Number', type: 'string', required: true }],
  },
  raw: {
    name: 'authenticator-enrollment-data',
    relatesTo: { type: 'object', value: phone },
    inputs: [{
      name: 'authenticator',
      label: 'Phone',
      type: 'string',
      value: [idField, method(true), { name: 'phoneNumber', label: 'Phone number', required: true }],
    }],
  },
};

// enrollCode is the page for the code to a new number.
export const enrollCode = code('enroll-authenticator', { ...phone, resend: action('resend') }, [password]);

// phoneMethod is the page that shows the number and asks how to reach it.
export const phoneMethod = {
  read: {
    name: 'authenticator-verification-data',
    type: 'phone',
    authenticator: { ...herPhone, id: authenticatorId, enrollmentId: id },
    inputs: [method(true)],
  },
  raw: {
    name: 'authenticator-verification-data',
    relatesTo: { type: 'object', value: herPhone },
    inputs: [{ name: 'authenticator', label: 'Phone', type: 'string', value: [idField, method(true), enrollmentField] }],
  },
};

// verifyCode is the page for the code to a known number.
export const verifyCode = code('challenge-authenticator', { ...herPhone, resend: action('resend') }, [herPhone]);

// withFieldMessages is a code page that says beside the field what was wrong.
export function withFieldMessages(step, messages) {
  const inputs = [{ ...step.read.inputs[0], messages: { type: 'array', value: messages.map(([kind, key, message]) => ({
    class: kind, i18n: { key, params: (params) => params === undefined || Array.isArray(params) }, message,
  })) } }];
  return { ...step, read: { ...step.read, inputs } };
}
