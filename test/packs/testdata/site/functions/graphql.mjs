import { buildSchema, graphql, GraphQLError, printSchema } from 'graphql';

const schema = buildSchema('type Query { a(n: Int!): Int }');
export const handler = async () => {
  const good = await graphql({ schema, source: '{ a(n: 3) }', rootValue: { a: ({ n }) => n + 1 } });
  const bad = await graphql({ schema, source: '{ b }' });
  return [good, bad, bad.errors[0] instanceof GraphQLError, printSchema(schema)];
};
