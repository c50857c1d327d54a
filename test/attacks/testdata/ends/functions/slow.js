// An invocation that is in flight while the server is told to end.
exports.handler = async () => {
  console.log('slow has begun');
  await new Promise((r) => setTimeout(r, 3000));
  return 'finished';
};
