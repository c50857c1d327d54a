export default async (request) => {
  if (!(await request.json()).next_run) throw new Error('it does not know when it runs next');
};
export const config = { schedule: '30 4 * * *' };
