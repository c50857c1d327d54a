// What becomes of a learned policy: a reviewer accepts what a legitimate case needs, and nothing of an attack
// may stand in it.

const commented = /^\s*#\s?/;

// review uncomments what waits for a second look and stands in the corpus's own policy: programs, for example.
export function review(proposed, c) {
  const wanted = [...(c.policy.exec || []), ...(c.policy.tcp || []), ...c.policy.outboundHttp.map((r) => r.url)];
  return proposed.split('\n').map((line) => (commented.test(line) && wanted.some((w) => line.includes(`"${w}"`)) ? line.replace(commented, '  ') : line)).join('\n');
}

// thievery gives the live lines that would let the attack's thief have its way: its hosts, programs that the
// case doesn't grant, files outside /tmp, and the loot itself, which may stand nowhere.
export function thievery(proposed, c, hosts) {
  const granted = JSON.stringify(c.policy);
  const evil = Object.entries({ ...hosts.names, ...hosts.ipMap }).filter(([name]) => !granted.includes(name.replace(/^\*\./, ''))).map(([name]) => name.replace(/^\*\./, ''));
  const live = proposed.split('\n').filter((line) => !commented.test(line));
  const bad = live.filter((line) => evil.some((name) => line.includes(name)) || /127\.\d|169\.254|\d+\.\d+\.\d+\.\d+/.test(line)).map((line) => `a rule for the thief: ${line}`);
  let key;
  for (const line of live) {
    key = /^\s*(\w+)\s*=/.exec(line)?.[1] ?? key;
    if ((key === 'exec' && line.includes('"') || /^\s*addons\b/.test(line)) && !(c.policy.exec || []).length && !c.policy.addons) bad.push(`a program or library for the thief: ${line}`);
    if ((key === 'write' || key === 'read') && /"\/(?!tmp\/|var\/task\/)/.test(line)) bad.push(`files for the thief: ${line}`);
  }
  if (c.marker && proposed.includes(c.marker)) bad.push('the loot stands in the policy');
  return bad;
}
