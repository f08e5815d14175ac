// Comparing documents: every member is named, none is extra, and what varies is a pattern.

import { AssertionError } from 'node:assert';

// match compares actual with expected. A RegExp matches a string, a function judges the value by
// returning true, everything else is compared member by member; undefined means: not there.
export function match(actual, expected, where = '$') {
  const problem = differ(actual, expected, where);
  if (problem) throw new AssertionError({ message: `${problem}\nin ${JSON.stringify(actual, null, 1)}`, stackStartFn: match });
}

function differ(actual, expected, where) {
  if (expected instanceof RegExp) {
    return typeof actual === 'string' && expected.test(actual) ? '' : `${where} is ${show(actual)}, not ${expected}`;
  }
  if (typeof expected === 'function') {
    return expected(actual) === true ? '' : `${where} is ${show(actual)}, which ${expected.name || expected} refuses`;
  }
  if (expected === null || typeof expected !== 'object') {
    return Object.is(actual, expected) ? '' : `${where} is ${show(actual)}, not ${show(expected)}`;
  }
  if (actual === null || typeof actual !== 'object' || Array.isArray(actual) !== Array.isArray(expected)) {
    return `${where} is ${show(actual)}, not ${show(expected)}`;
  }
  if (Array.isArray(expected) && actual.length !== expected.length) {
    return `${where} has ${actual.length} entries, not ${expected.length}`;
  }
  for (const name of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    if (actual[name] !== undefined && expected[name] === undefined) return `${where}.${name} is extra: ${show(actual[name])}`;
    const problem = differ(actual[name], expected[name], Array.isArray(expected) ? `${where}[${name}]` : `${where}.${name}`);
    if (problem) return problem;
  }
  return '';
}

function show(value) {
  const text = JSON.stringify(value);
  return text === undefined ? String(value) : text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

// plain leaves out functions and members that are undefined, as the wire would.
export function plain(value) {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
