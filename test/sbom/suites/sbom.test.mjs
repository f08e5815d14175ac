// The bill of materials of bin/latchkey, judged by CycloneDX's own schema.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const bill = execFileSync('go', ['run', './tools/release', 'sbom', 'bin/latchkey'], { cwd: root, encoding: 'utf8' });
const strict = new Validation.JsonStrictValidator(Spec.Version.v1dot6);

test('S-88 the bill of materials is CycloneDX 1.6, to the letter', async () => {
  assert.equal(await strict.validate(bill), null);
});

test('S-88 what the schema cannot know', () => {
  const { components, dependencies, metadata } = JSON.parse(bill);
  const refs = new Set([metadata.component, ...components].map((c) => c['bom-ref']));
  assert.equal(refs.size, components.length + 1, 'a reference twice');
  assert.deepEqual(dependencies.map((d) => d.ref).sort(), [...refs].sort());
  for (const { ref, dependsOn = [] } of dependencies) {
    for (const on of dependsOn) assert.ok(refs.has(on), `${ref} depends on ${on}, which is not there`);
  }
  for (const c of components) assert.ok(c.licenses.length > 0, `${c.name} has no licence`);
  const std = components.find((c) => c.name === 'std');
  assert.match(std.version, /^go1\./);
});

test('the schema can say no', async () => {
  const broken = JSON.parse(bill);
  broken.components[0].type = 'potato';
  assert.notEqual(await strict.validate(JSON.stringify(broken)), null);
});
